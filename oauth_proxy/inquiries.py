"""The commands that only ask, `check` and `explain`: they change nothing."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import click

from oauth_proxy.explain import Question, explained
from oauth_proxy.settings import effective, load, load_with_lines, notes

FILE = click.argument("file", type=click.Path(path_type=Path))


@FILE
@click.pass_obj
def check(environ: Mapping[str, str], file: Path) -> None:
    """Say what is wrong with FILE, or print the effective settings, secrets hidden."""
    settings = load(file, environ)
    click.echo(effective(settings), nl=False)
    for note in notes(settings, datetime.now(UTC).date()):
        click.echo(f"note: {note}", err=True)


@FILE
@click.argument("method")
@click.argument("path")
@click.option("--as", "person", metavar="EMAIL|ID", help="Answer for this person; else for each rule.")
@click.option("--header", "headers", multiple=True, help='One of the request, as "Accept: text/html".')
@click.pass_obj
def explain(
    environ: Mapping[str, str], file: Path, method: str, path: str, person: str | None, headers: tuple[str, ...]
) -> None:
    """Say what would happen to a request, and by which lines of FILE.

    How its PATH (or URL) is read, whether it is public, whom a rule lets in, which upstream is asked for what, and
    with which headers. Nobody is asked: a token, or what only Frame.io knows, is a word in <>. For example:

    oauth-proxy explain oauth-proxy.yaml GET /board --as jo@example.com
    """
    settings, lines = load_with_lines(file, environ)
    question = Question(method.upper(), path, person, [_header_line(each) for each in headers])
    click.echo(asyncio.run(explained(settings, lines, question)))


def _header_line(written: str) -> tuple[bytes, bytes]:
    name, colon, value = written.partition(":")
    if not colon or not name.strip() or not name.isascii() or not written.isprintable():
        raise click.UsageError('a header is written "Name: value"')
    return name.strip().encode("ascii"), value.strip().encode("utf-8", "surrogateescape")
