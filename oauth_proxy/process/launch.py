"""Makes the parent and what its workers share, and becomes one of them after a fork."""

import os
import signal
import time
from collections.abc import Callable, MutableMapping, Sequence

from oauth_proxy.garbage import only_imports
from oauth_proxy.inherited import Inherited
from oauth_proxy.memory import Bell
from oauth_proxy.outlet import Outlet
from oauth_proxy.process.crew import Forked
from oauth_proxy.process.handed import Given, given_sockets
from oauth_proxy.process.listeners import Listeners
from oauth_proxy.process.parent import EndedAtOnce, Parent
from oauth_proxy.process.private import PrivateFolder
from oauth_proxy.process.supervisor import Supervisor
from oauth_proxy.process.worker import look_into, preload, serve
from oauth_proxy.settings import Loaded, Settings
from oauth_proxy.telemetry import set_level
from oauth_proxy.tls import bare_context


def run_processes(
    read: Callable[[], Loaded],
    tell: Callable[[str], None],
    given: Sequence[Given],
    environ: MutableMapping[str, str],
    log_to: Outlet,
) -> int:
    """Serve until a signal, on the sockets that are `given`, a supervisor's, and others. Returns the exit status.

    `read` loads the configuration, at the start and at each reload; `tell` hears the address once it serves.
    Supervisors' variables are taken from `environ`. Returns in every worker, too, when that has ended. Raises
    ConfigurationError if the first configuration cannot be used.
    """
    supervisor = Supervisor(environ)
    listeners = Listeners([*given, *given_sockets(environ)])
    bell, since, private, tls = Bell(), time.monotonic(), PrivateFolder(environ), bare_context()

    def checked() -> Loaded:
        loaded = read()
        if loaded.settings.session.store == "cookie":
            private.make()
        return loaded

    def prepare(settings: Settings) -> None:
        with only_imports():
            preload(settings)

    try:
        Parent(checked, prepare, look_into, tell, private.restore, listeners, supervisor, log_to).run()
    except Forked as forked:
        generation = forked.generation
        settings = generation.settings
        inherited = Inherited(
            generation.listeners,
            generation.contents,
            replaces=generation.has_served,
            bell=bell,
            tls=tls,
            private=private.file,
            workers=settings.worker_count,
            since=since,
        )
        if not generation.has_served:  # who replaces a worker has the level of the others
            set_level(settings.log.level)
        return serve(settings, inherited, forked.sock, log_to)
    except EndedAtOnce as ended:
        private.remove()
        signal.signal(ended.number, signal.SIG_DFL)
        os.kill(os.getpid(), ended.number)
        return 128 + ended.number  # the first process of a container is not ended by its own signal
    except BaseException:
        private.remove()
        raise
    private.remove()
    return 0
