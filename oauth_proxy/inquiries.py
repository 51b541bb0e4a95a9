"""The commands that only ask, `check` and `explain`: they change nothing.

What they alone need is imported where they need it: `run` starts without it.
"""

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO

import click

from oauth_proxy.settings import effective, load, load_with_lines, notes
from oauth_proxy.site_pages import pages_for

if TYPE_CHECKING:
    from oauth_proxy.online import Finding

FILE = click.argument("file", type=click.Path(path_type=Path))


class Surroundings(NamedTuple):
    """What a command has from its process: the environment, and its two outputs."""

    environ: Mapping[str, str]
    stdout: TextIO
    stderr: TextIO

    def say(self, text: str) -> None:
        """Print the text; what standard output cannot have becomes a question mark."""
        encoding = self.stdout.encoding
        click.echo(text.encode(encoding, "replace").decode(encoding))


@FILE
@click.option("--online", is_flag=True, help="Try instead what FILE names: Frame.io, tools, store, ports.")
@click.pass_context
def check(context: click.Context, file: Path, online: bool) -> None:
    """Say what is wrong with FILE, or what is in effect by it.

    What is in effect are the settings with every default; secrets are hidden. With --online, say instead of
    everything that FILE names whether it is there and works, and what to do where it does not. Nobody is signed
    in, and nothing is changed. Ends with 1 if something is wrong.
    """
    around: Surroundings = context.obj
    settings = load(file, around.environ)
    if online:
        from oauth_proxy.online import LoopThatLetsGo, checked

        told = _Told(around)
        with asyncio.Runner(loop_factory=LoopThatLetsGo) as runner:
            is_well = runner.run(checked(settings, told.finding, told.waiting))
        context.exit(0 if is_well else 1)
    pages = pages_for(settings)  # a template that cannot be rendered stops the start
    around.say(effective(settings).removesuffix("\n"))
    for note in [*notes(settings, datetime.now(UTC)), *pages.notes]:
        click.echo(f"note: {note}", err=True)


@FILE
@click.argument("method")
@click.argument("path")
@click.option("--as", "person", metavar="EMAIL|ID", help="Answer for this person; else for each rule.")
@click.option("--header", "headers", multiple=True, help='One of the request, as "Accept: text/html".')
@click.pass_obj
def explain(
    around: Surroundings, file: Path, method: str, path: str, person: str | None, headers: tuple[str, ...]
) -> None:
    """Say what would become of a request, and by which lines.

    How its PATH (or URL) is read, whether it is public, whom a rule lets in, which upstream is asked for what, and
    with which headers. Nobody is asked: a token, or what only Frame.io knows, is a word in <>.
    """
    from oauth_proxy.explain import Question, explained

    settings, lines = load_with_lines(file, around.environ)
    question = Question(method.upper(), path, person, [_header_line(each) for each in headers])
    around.say(asyncio.run(explained(settings, lines, question)))


class _Told:
    """Tells what is found on standard output, and meanwhile, on a terminal, what is waited for."""

    def __init__(self, around: Surroundings) -> None:
        self._is_watched = around.stderr.isatty() and around.environ.get("TERM") != "dumb"
        self._around = around

    def finding(self, found: "Finding") -> None:
        """Tell one finding: a line with a mark, and another one with what to do."""
        self._erase()
        mark = click.style(self._mark("\N{CHECK MARK}", "ok"), fg="green")
        if not found.is_well:
            mark = click.style(self._mark("\N{BALLOT X}", "WRONG:"), fg="red")
        self._around.say(f"{mark} {found.subject} {found.means}")
        if found.advice:
            self._around.say(f"    {found.advice}")

    def waiting(self, subjects: Sequence[str]) -> None:
        """Tell what is waited for, in the last line of the terminal."""
        self._erase()
        if self._is_watched and subjects:
            text = f"... waiting for {', '.join(subjects)}"
            click.echo(text[: shutil.get_terminal_size().columns - 1], err=True, nl=False)

    def _erase(self) -> None:
        if self._is_watched:
            click.echo("\r\x1b[K", err=True, nl=False)

    def _mark(self, mark: str, instead: str) -> str:
        """The mark, or a word where standard output cannot have it."""
        try:
            mark.encode(self._around.stdout.encoding)
        except UnicodeEncodeError:
            return instead
        return mark


def _header_line(written: str) -> tuple[bytes, bytes]:
    name, colon, value = written.partition(":")
    if not colon or not name.strip() or not name.isascii() or not written.isprintable():
        raise click.UsageError('a header is written "Name: value"')
    return name.strip().encode("ascii"), value.strip().encode("utf-8", "surrogateescape")
