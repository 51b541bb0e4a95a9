"""The commands that one begins with: `init` writes a first file, `completion` teaches a shell the commands."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import click
from click.shell_completion import get_completion_class

from oauth_proxy.errors import ConfigurationError
from oauth_proxy.settings import Answers, first_file, fresh_secret

Api = Literal["v2", "v4"]
API = click.Choice(["v4", "v2"])
PROGRAM = "oauth-proxy"
COMPLETE = "_OAUTH_PROXY_COMPLETE"
"""The variable by which click is asked for completions."""


class Around(Protocol):
    """What the command line knows of the process."""

    @property
    def environ(self) -> Any:
        """The environment's variables."""
        ...


def examples(*lines: str) -> str:
    """The end of a command's help: command lines that work as they are."""
    return "\n".join(["\b", "Examples:" if len(lines) > 1 else "Example:", *(f"  {each}" for each in lines)])


@click.argument("file", type=click.Path(path_type=Path), default="oauth-proxy.yaml")
@click.option("--api", type=API, default="v4", show_default=True, help="The Frame.io login your app is for.")
@click.option("--public-url", metavar="URL", help="What visitors type.")
@click.option("--listen", metavar="ADDRESS", help="Where the proxy listens: host:port or unix:/path.")
@click.option("--upstream", "upstreams", metavar="[PATH=]URL", multiple=True, help="A tool; may be repeated.")
@click.option("--client-id", metavar="ID", help="The app's id, else $FRAMEIO_CLIENT_ID at the start.")
@click.option(
    "--client-secret-file",
    type=click.Path(),
    metavar="PATH",
    help="A file with the app's secret, else $FRAMEIO_CLIENT_SECRET.",
)
@click.option("--pkce", is_flag=True, help="The app has no secret.")
@click.option(
    "--allow",
    metavar="WHO",
    multiple=True,
    help='Who may enter: "*@example.com", an address, everyone, account:UUID, emails_file:PATH; may be repeated.',
)
@click.option("--store", metavar="STORE", help="cookie, sqlite:FILE or redis://host:6379/0.")
@click.pass_obj
def init(around: Around, /, file: Path, api: Api, **given: Any) -> None:
    """Write a commented FILE with a fresh secret to begin with.

    Without FILE it is oauth-proxy.yaml. Nothing is asked: where no option gives an answer, the file has an
    example's, or a variable. Nothing is written if an answer cannot be used, or if FILE is there already.
    """
    if given["pkce"] and given["client_secret_file"]:
        raise click.UsageError("an app with a secret is not for --pkce: give one of the two")
    if given["client_secret_file"]:
        given["client_secret_file"] = _seen_from(file, Path(given["client_secret_file"]))
    answers = Answers(**given)
    _write(file, first_file(api, fresh_secret(), answers, file, around.environ))
    for line in _told(file, answers):
        click.echo(line)


def _seen_from(file: Path, path: Path) -> str:
    """The path as the file at `file` names it: its relative paths begin at its folder."""
    return str(path if path.is_absolute() or file.parent.resolve() == Path.cwd() else path.absolute())


def _write(file: Path, text: str) -> None:
    """Write a new file that its owner alone may read, or nothing. Raises ConfigurationError."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigurationError([f"{file} is there already; nothing was written"]) from None
    except OSError as error:
        raise ConfigurationError([f"{file} cannot be written: {error.strerror}"]) from None
    try:
        with open(descriptor, "w", encoding="utf-8") as opened:  # noqa: PTH123 a descriptor has no path
            opened.write(text)
    except OSError as error:  # half a file would look like a whole one
        file.unlink(missing_ok=True)
        raise ConfigurationError([f"{file} cannot be written: {error.strerror}"]) from None


def _told(file: Path, answers: Answers) -> Sequence[str]:
    """What was done, and what to do next."""
    name = shlex.quote(str(file))
    left = {
        "public_url": answers.public_url,
        "upstreams": answers.upstreams,
        "access.allow": answers.allow,
    }
    missing = [key for key, answer in left.items() if not answer]
    variables = ["FRAMEIO_CLIENT_ID"] if answers.client_id is None else []
    if not (answers.pkce or answers.client_secret_file):
        variables.append("FRAMEIO_CLIENT_SECRET")
    callback = f"{(answers.public_url or 'public_url').rstrip('/')}/oauth2/callback"
    steps = [
        f"Register the redirect URI with your app:\n     {callback}",
        *([f"Write your own values into it: {', '.join(missing)}."] if missing else []),
        *([f"Set {' and '.join(variables)} in the environment."] if variables else []),
        f"{PROGRAM} check {name}            (is anything wrong with it?)",
        f"{PROGRAM} check --online {name}   (is what it names there?)",
        f"{PROGRAM} run {name}",
    ]
    return [
        f"{file} is written, readable by you alone. Next:",
        *(f"  {n}. {step}" for n, step in enumerate(steps, 1)),
    ]


@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what teaches a shell to complete this command.

    It then knows commands, options, their values and files, until the shell ends. Put the line of the example
    into ~/.bashrc or ~/.zshrc; for fish, write it to ~/.config/fish/completions/oauth-proxy.fish.
    """
    complete = get_completion_class(shell)
    if complete is not None:  # the choices above are those that click knows
        click.echo(complete(context.find_root().command, {}, PROGRAM, COMPLETE).source())
