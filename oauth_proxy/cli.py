"""The command `oauth-proxy`. Only this module prints, reads the environment and exits."""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import ParamSpec

import click

from oauth_proxy import __version__, beginnings, control, inquiries
from oauth_proxy.beginnings import API, Api, examples
from oauth_proxy.commands import operator_here
from oauth_proxy.errors import ConfigurationError, MayPass
from oauth_proxy.inquiries import FILE
from oauth_proxy.libc import dump_no_core, keep_freed_memory
from oauth_proxy.migration import migrate
from oauth_proxy.outlet import Outlet, standard_error
from oauth_proxy.process import Given, run_processes
from oauth_proxy.settings import Level, Loaded, admin_listener, fresh_secret, load, load_with_files, notes, schema
from oauth_proxy.telemetry import LEVELS, configure_logging

log = logging.getLogger("oauth_proxy")

MOST_TOLD = 50
"""Problems that are printed; of a file with more, it is the first ones that help."""
P = ParamSpec("P")
TRY_AGAIN = 75
"""The exit status for a trouble that may pass (EX_TEMPFAIL of sysexits(3))."""


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples("oauth-proxy demo", "oauth-proxy init && oauth-proxy check oauth-proxy.yaml"),
)
@click.version_option(__version__, prog_name="oauth-proxy")
@click.pass_context
def main(context: click.Context) -> None:
    """Frame.io sign-in in front of a web tool.

    Begin with `oauth-proxy demo` to see it work, or with `oauth-proxy init` for a file of your own.
    """
    context.obj = inquiries.Surroundings(os.environ, sys.stdout, sys.stderr)
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        context.color = False  # None, as it is else, is colours on a terminal only
    # Any package installed beside us may be a plugin of pydantic, which is shown what is validated, secrets too.
    # To look for one is also a twentieth of a start.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # Commands print their messages; only a serving proxy has a log.
    logging.getLogger("oauth_proxy").addHandler(logging.NullHandler())


def _problems_told(command: Callable[P, None]) -> Callable[P, None]:
    """Print each problem of a ConfigurationError on its own line, and exit with status 2.

    What may have passed at a later attempt, such as an address in use, has another status, for supervisors.
    """

    @wraps(command)
    def told(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except ConfigurationError as error:
            for problem in error.problems[:MOST_TOLD]:
                click.echo(problem, err=True)
            if len(error.problems) > MOST_TOLD:
                click.echo(f"and {len(error.problems) - MOST_TOLD} more", err=True)
            sys.exit(TRY_AGAIN if isinstance(error, MayPass) else 2)

    return told


@main.command(epilog=examples("oauth-proxy run oauth-proxy.yaml"))
@FILE
@_problems_told
def run(file: Path) -> None:
    """Serve as FILE says, until SIGTERM or Ctrl+C."""
    dump_no_core()
    log_to = standard_error()

    def read() -> Loaded:
        nonlocal file
        loaded = load_with_files(file, os.environ)
        file = file.absolute()  # at a reload, the folder that this process is in may have been replaced
        if not logging.getLogger().handlers:  # a reload may still fail, and then the log stays as it is
            configure_logging(loaded.settings.log.format, log_to, loaded.settings.log.level)
        for note in notes(loaded.settings, datetime.now(UTC)):
            log.warning("%s", note)
        return loaded

    _serve(read, lambda at: log.info("serving on %s", at), log_to)


@main.command(epilog=examples("oauth-proxy reload oauth-proxy.yaml"))
@FILE
@_problems_told
def reload(file: Path) -> None:
    """Give the proxy that runs with FILE the file as it is now. Nobody is cut off.

    New processes start with it, and take over when they are ready. If anything is wrong with the file, each
    problem is printed, and the proxy goes on as before.
    """
    asyncio.run(control.reload(load(file, os.environ), operator_here(os.environ)))
    click.echo("The proxy uses the file as it is now.")


_ELSEWHERE: dict[Callable[..., None], Sequence[str]] = {
    inquiries.check: ("oauth-proxy check oauth-proxy.yaml", "oauth-proxy check --online oauth-proxy.yaml"),
    inquiries.explain: (
        "oauth-proxy explain oauth-proxy.yaml GET /board --as jo@example.com",
        'oauth-proxy explain oauth-proxy.yaml POST /save --header "Accept: text/html"',
    ),
    beginnings.init: (
        "oauth-proxy init",
        "oauth-proxy init --public-url https://review.example.com \\",
        '  --upstream http://127.0.0.1:3000 --allow "*@example.com" mine.yaml',
    ),
    beginnings.completion: ('eval "$(oauth-proxy completion bash)"',),
}
for _command, _lines in _ELSEWHERE.items():
    main.command(epilog=examples(*_lines))(_problems_told(_command))

main.command(
    context_settings={"ignore_unknown_options": True},
    epilog=examples(
        "oauth-proxy migrate oauth2-proxy.cfg > oauth-proxy.yaml",
        "oauth-proxy migrate -- --upstream=http://127.0.0.1:3000 --email-domain=a.com",
    ),
)(_problems_told(migrate))


@main.command(epilog=examples("oauth-proxy secret > session.secret"))
def secret() -> None:
    """Print a fresh value for session.secret."""
    click.echo(fresh_secret())


@main.command(name="schema", epilog=examples("oauth-proxy schema > schema.json"))
def print_schema() -> None:
    """Print the JSON Schema of the configuration file, for editors."""
    click.echo(json.dumps(schema(), indent=2, ensure_ascii=False))


@main.command(
    epilog=examples(
        "oauth-proxy revoke oauth-proxy.yaml --user jo@example.com", "oauth-proxy revoke oauth-proxy.yaml --all"
    )
)
@FILE
@click.option("--user", help="The Frame.io id or email address of whoever is to be signed out.")
@click.option("--all", "everybody", is_flag=True, help="Sign everybody out.")
@_problems_told
def revoke(file: Path, user: str | None, everybody: bool) -> None:
    """End all sessions of a person, or of everybody.

    What they have open ends, too. Asks the proxy that runs with FILE. Where none runs, it is written to
    session.store, for those that will. Says which of the two was done. Ends with 1 where the proxy has done it
    and the store could not be told yet, and with 2 where nobody was signed out, or that is not certain.
    """
    if everybody == bool(user):
        raise click.UsageError("exactly one of --user and --all is needed")
    if len(user or "") > control.LONGEST_NAME:
        raise click.UsageError("no id and no email address is as long as this --user")
    done = asyncio.run(control.end(load(file, os.environ), user, operator_here(os.environ)))
    click.echo(done.sentences)
    sys.exit(0 if done.everywhere else 1)


@main.command(epilog=examples("oauth-proxy sessions --json oauth-proxy.yaml"))
@FILE
@click.option("--json", "as_json", is_flag=True, help="One JSON array instead of a table.")
@_problems_told
def sessions(file: Path, as_json: bool) -> None:
    """List who is signed in.

    With id, email address, since when, when last seen, open connections. Asks the proxy that runs with FILE,
    which knows whom it has seen since it started. Where none runs, session.store is read, which knows nothing of
    connections.
    """
    roll = asyncio.run(control.seen(load(file, os.environ)))
    if as_json:
        click.echo(json.dumps(control.rows(roll), indent=2))
    else:
        click.echo(control.table(roll))
    if roll.more:
        click.echo(f"{roll.more} more, seen longer ago, are left out.", err=True)


@main.command(epilog=examples("oauth-proxy log-level oauth-proxy.yaml debug"))
@FILE
@click.argument("level", type=click.Choice(list(LEVELS)), required=False)
@_problems_told
def log_level(file: Path, level: Level | None) -> None:
    """Say or change what the proxy of FILE logs.

    Without LEVEL, say it. With it, the proxy logs what is of LEVEL and above from now on. That holds for all its
    processes, until the file is loaded again: then `log.level` decides.
    """
    operator = operator_here(os.environ)
    click.echo(asyncio.run(control.log_level(load(file, os.environ), level, operator)))


@main.command(epilog=examples("oauth-proxy health oauth-proxy.yaml"))
@FILE
@_problems_told
def health(file: Path) -> None:
    """Ask the proxy of FILE whether it is alive.

    For a container's health check: ends with 0 if it is, and else with 1 and a sentence. A mistake in FILE, made
    since the proxy began, is for `check` to find: the proxy that runs is as healthy as before.
    """
    ailment = asyncio.run(control.ailment(admin_listener(file, os.environ)))
    if ailment is not None:
        raise click.ClickException(ailment)
    click.echo("ok")


@main.command(epilog=examples("oauth-proxy demo --port 0 --api v4"))
@click.option("--port", type=click.IntRange(0, 65535), default=4180, show_default=True, help="0 takes a free one.")
@click.option("--api", type=API, default="v2", show_default=True, help="The Frame.io login to show.")
@_problems_told
def demo(port: int, api: Api) -> None:
    """Show it at work, with an emulated Frame.io and a tool."""
    from oauth_proxy.demo import launch  # local: only this command needs the demo

    try:
        with launch.listening(port) as public, launch.listening(0) as admin:
            host, port = public.getsockname()
            public_url = f"http://localhost:{port}"
            status_at = str(Given(admin, "admin").at)
            ours = {
                "DEMO_PUBLIC_URL": public_url,
                "DEMO_LISTEN": f"{host}:{port}",
                "DEMO_ADMIN_LISTEN": status_at,
                "DEMO_SECRET": fresh_secret(),
            }
            with launch.launched(public_url, api, os.environ, f"http://{status_at}/") as cast:
                settings = load(launch.configuration(), {**ours, **cast})
                log_to = standard_error()
                configure_logging(settings.log.format, log_to, settings.log.level)

                def tell(_: str) -> None:
                    # In one piece: whoever reads only the first line may be gone before a second one.
                    click.echo(
                        f"The demo is at {public_url}/ (Ctrl+C ends it)\n"
                        f"Its status page, for operators: http://{status_at}/"
                    )

                sockets = [Given(public, "public"), Given(admin, "admin")]
                _serve(lambda: Loaded(settings, frozenset()), tell, log_to, sockets)
    except launch.NotStartedError as error:
        raise ConfigurationError([str(error)]) from None


def _serve(
    read: Callable[[], Loaded], tell: Callable[[str], None], log_to: Outlet, given: Sequence[Given] = ()
) -> None:
    """Serve until a signal, on the sockets that are `given` and others; `tell` is called once the proxy serves.

    Its processes write their log to `log_to`.

    A second signal ends the process at once.
    """
    keep_freed_memory()
    if status := run_processes(read, tell, given, dict(os.environ), log_to):
        sys.exit(status)
