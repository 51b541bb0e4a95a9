"""The command `migrate`. What it does is imported only when it runs: no other command needs it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

import click
from click.shell_completion import CompletionItem


class Around(Protocol):
    """What the command line knows of the process."""

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment's variables."""
        ...


def _files(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    return [CompletionItem(begun, type="file")]


@click.argument("given", nargs=-1, type=click.UNPROCESSED, metavar="[FILE] [-- FLAGS...]", shell_complete=_files)
@click.option("--alpha-config", type=click.Path(path_type=Path), help="Its alpha configuration, YAML.")
@click.option(
    "--api",
    type=click.Choice(["v4", "v2"]),
    default="v4",
    show_default=True,
    help="The Frame.io login your app is for.",
)
@click.pass_obj
def migrate(around: Around, given: tuple[str, ...], alpha_config: Path | None, api: Literal["v2", "v4"]) -> None:
    """Print an oauth2-proxy configuration as a file of ours.

    Reads FILE (oauth2-proxy.cfg), what else oauth2-proxy reads (OAUTH2_PROXY_... in the environment), and its
    FLAGS. What cannot be carried over is a comment in the file, and is listed on standard error.
    """
    from oauth_proxy.migration.carrying import migrated

    has_file = bool(given) and not given[0].startswith("-")
    done = migrated(Path(given[0]) if has_file else None, alpha_config, given[has_file:], around.environ, api)
    click.echo(done.text, nl=False)
    for line in done.summary:
        click.echo(line, err=True)
