"""The setting `session.store`: what is read, what is refused, and its notes."""

from pathlib import Path

import pytest

from oauth_proxy.settings import Redis, Sqlite, effective, notes
from tests.settings.test_notes import TODAY
from tests.support.configuration import KEY, file, problem, problems, read

AT = "3:72"
"""Where the value stands in `with_store`."""
REDIS = (
    "a Redis is written redis://host:6379/0, redis+sentinel://host:26379,host2:26379/service/0 "
    "or redis+cluster://host:7000,host2:7000"
)
PASSWORD = (
    "a password stands as in redis://:password@host:6379/0, with %40 for '@', %3A for ':' and %2F for '/' in it"
)
SERVICE = (
    "after the hosts of sentinels stands the name of their service, as in "
    "redis+sentinel://host:26379,host2:26379/service/0"
)


def with_store(store: str) -> str:
    return file(session=f'session: {{secret: {KEY}, store: "{store}"}}')


@pytest.mark.parametrize(
    ("text", "redis"),
    [
        ("redis://host", Redis((("host", 6379),))),
        ("REDIS://Host:1234/15", Redis((("host", 1234),), db=15)),
        ("redis://[::1]:1234/", Redis((("::1", 1234),))),
        ("rediss://:p%40ss@host/2", Redis((("host", 6379),), db=2, tls=True, password="p@ss")),
        ("redis://jo:secret@10.0.0.7:6379/0", Redis((("10.0.0.7", 6379),), user="jo", password="secret")),
        ("redis+sentinel://host/main", Redis((("host", 26379),), "sentinel", "main")),
        ("redis+sentinel://host/main/", Redis((("host", 26379),), "sentinel", "main")),
        (
            "rediss+sentinel://jo:p%2Css@a,[::1]:1,B.example:2/my-main.1/3",
            Redis(
                (("a", 26379), ("::1", 1), ("b.example", 2)),
                "sentinel",
                "my-main.1",
                3,
                tls=True,
                user="jo",
                password="p,ss",
            ),
        ),
        ("redis+cluster://host", Redis((("host", 6379),), "cluster")),
        ("Redis+Cluster://:pass@a:7000,b:7001/", Redis((("a", 7000), ("b", 7001)), "cluster", password="pass")),
        ("rediss+cluster://a:7000", Redis((("a", 7000),), "cluster", tls=True)),
    ],
)
def test_a_redis_is_read(text: str, redis: Redis) -> None:
    assert read(with_store(text)).session.store == redis


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("redis://host", "redis://host:6379/0"),
        ("REDISS+Sentinel://:secret@a,[::1]:1/main", "rediss+sentinel://:<hidden>@a:26379,[::1]:1/main/0"),
        ("redis+cluster://jo:secret@a:7000,b/", "redis+cluster://jo:<hidden>@a:7000,b:6379"),
    ],
)
def test_a_redis_is_written_as_it_is_read(text: str, written: str) -> None:
    store = read(with_store(text)).session.store
    assert str(store) == written
    assert f"store: {written}\n" in effective(read(with_store(text)))
    again = read(with_store(written.replace("<hidden>", "secret"))).session.store
    assert again == store
    assert isinstance(again, Redis)
    assert (again.host, again.port) == again.nodes[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "redis://a,b",
            "several hosts stand in redis+sentinel://host:26379,host2:26379/service/0 "
            "or redis+cluster://host:7000,host2:7000",
        ),
        ("redis://a/main", "after the host of a Redis stands the number of a database, as in redis://host:6379/0"),
        ("redis+cluster://a/0", "a Redis cluster has only database 0, so nothing stands after its hosts"),
        ("redis+cluster://a/1", "a Redis cluster has only database 0, so nothing stands after its hosts"),
        ("redis+sentinel://a", SERVICE),
        ("redis+sentinel://a/", SERVICE),
        ("redis+sentinel://a//0", SERVICE),
        ("redis+sentinel://a/main/x", SERVICE),
        ("redis+sentinel://a/main/0/1", SERVICE),
        ("redis+sentinel://a/ma%20in", SERVICE),
        ("redis+sentinel://a,/main", "each host of a Redis is written host or host:port"),
        ("redis+sentinel://,a/main", "each host of a Redis is written host or host:port"),
        ("redis+sentinel://a;b:c:d/main", "each host of a Redis is written host or host:port"),
        ("redis+cluster://a:7000,b:70000", "a port is a number from 1 to 65535"),
        ("redis+replica://a", REDIS),
        ("redis+sentinel:a/main", REDIS),
        ("redis+sentinel://jo:a-password@b:c@d/main", PASSWORD),
        ("redis://a-password@host", PASSWORD),
        ("redis+sentinel://jo:a-password@a/", SERVICE),
    ],
)
def test_what_stands_around_the_hosts_is_told_for_each_kind_of_redis(text: str, message: str) -> None:
    assert problems(with_store(text)) == [f"{AT}: {message}"]


@pytest.mark.parametrize(
    "text",
    [
        "redis://",
        "redis:host",
        "redis://host:port",
        "redis://host:0",
        "redis://host:65536",
        "redis://host/db",
        "redis://host/0/1",
        "redis://host/0?socket_timeout=100",
        "redis://host#x",
        "redis://jo@host",
        "redis://a:b:c@host",
        "redis://-host-",
        "unix:///run/redis.sock",
    ],
)
def test_what_is_no_redis_is_refused(text: str) -> None:
    assert problem(session=f'session: {{secret: {KEY}, store: "{text}"}}')


def test_a_store_that_nobody_knows_is_refused_and_not_ignored() -> None:
    for text, suggestion in [
        ("memory", " (did you mean cookie?)"),
        ("cookies", " (did you mean cookie?)"),
        ("/var/lib/sessions.db", " (did you mean sqlite:/var/lib/sessions.db?)"),
        ("sessions.db", " (did you mean sqlite:sessions.db?)"),
        ("sqlite3:a.sqlite3", " (did you mean sqlite:a.sqlite3?)"),
        ("postgres://jo:a-password@host/a.db", ""),
    ]:
        message = f"the store is cookie, sqlite:/path/file.db or redis://host:6379/0{suggestion}"
        assert problems(with_store(text)) == [f"{AT}: {message}"]


def test_a_file_lies_beside_the_configuration_or_where_it_says(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "there.db").touch()
    for text, path in [
        ("sqlite:sessions.db", tmp_path / "sessions.db"),
        ("SQLite:below/sessions.db", tmp_path / "below" / "sessions.db"),
        ("sqlite:there.db", tmp_path / "there.db"),
        (f"sqlite:{tmp_path}/a b.db", tmp_path / "a b.db"),
    ]:
        settings = read(with_store(text), folder=tmp_path)
        assert settings.session.store == Sqlite(path)
        assert f"store: sqlite:{path}\n" in effective(settings)
        assert read(with_store(str(settings.session.store))) == settings


PLAIN = "sqlite: is followed by a path alone, without options and special names"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sqlite:", "sqlite: is followed by the path of a file, as in sqlite:/path/file.db"),
        ("sqlite:below/", "sqlite: is followed by the path of a file, as in sqlite:/path/file.db"),
        (
            "sqlite:///below/a.db",
            "a file is written sqlite:/path/file.db, without '//' (did you mean sqlite:/below/a.db?)",
        ),
        ("sqlite:////a.db", "a file is written sqlite:/path/file.db, without '//' (did you mean sqlite:/a.db?)"),
        ("sqlite://a.db", "a file is written sqlite:/path/file.db, without '//' (did you mean sqlite:a.db?)"),
        ("sqlite::memory:", PLAIN),
        ("sqlite:file:a.db?mode=ro", PLAIN),
        ("sqlite:a.db?mode=ro", PLAIN),
        ("sqlite:a.db#x", PLAIN),
        ("sqlite:a\\nb", PLAIN),
        ("sqlite:below", "this is a folder, and the store is a file (did you mean sqlite:below/sessions.db?)"),
        ("sqlite:.", "this is a folder, and the store is a file (did you mean sqlite:./sessions.db?)"),
        ("sqlite:/dev/null", "this is a device or a socket, and the store is a file"),
        ("sqlite:nowhere/a.db", "the folder of this file is not there"),
        ("sqlite:~/a.db", "the folder of this file is not there"),
        ("sqlite:/dev/null/a.db", "the file cannot be used: not a directory"),
        (f"sqlite:{'x' * 300}", "the file cannot be used: file name too long"),
    ],
)
def test_a_path_where_no_file_can_be_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    assert problems(with_store(text), folder=tmp_path) == [f"{AT}: {message}"]
    assert [each.name for each in tmp_path.iterdir()] == ["below"], "nothing was made by looking"


def test_what_a_variable_holds_of_a_store_is_never_shown(tmp_path: Path) -> None:
    for value in ("a-password", "sqlite:///a-password", "sqlite:/a-password/x", "redis+sentinel://:a-password@h"):
        [only] = problems(with_store("${STORE}"), {"STORE": value}, tmp_path)
        assert "a-password" not in only


def test_the_password_is_never_shown() -> None:
    settings = read(with_store("rediss://jo:a-password@[::1]:7000/3"))
    assert "store: rediss://jo:<hidden>@[::1]:7000/3" in effective(settings)
    assert "a-password" not in effective(settings) + repr(settings) + str(settings.session.store)
    for text in ("redis+sentinel://jo:a-password@h", "redis+cluster://:a-password@h/0", "redis+x://:a-password@h"):
        assert "a-password" not in problem(session=f'session: {{secret: {KEY}, store: "{text}"}}')


def noted(store: str) -> str:
    return "".join(note for note in notes(read(with_store(store)), TODAY) if "session.store" in note)


def test_a_redis_that_can_be_read_on_the_way_is_worth_a_note() -> None:
    assert noted("redis://:secret@cache.internal:6379/0")
    assert not noted("rediss://:secret@cache.internal:6379/0")
    assert not noted("redis://127.0.0.1:6379/0")
    assert not noted("cookie")


@pytest.mark.parametrize(
    ("hosts", "is_far"), [("localhost,[::1]:1", False), ("localhost,10.0.0.7", True), ("a,b:7000", True)]
)
def test_sentinels_and_clusters_are_no_safer_on_the_way(hosts: str, is_far: bool) -> None:
    for scheme, path in (("sentinel", "/main"), ("cluster", "")):
        message = (
            f"session.store is redis+{scheme}:// on another machine: a password can be read on the way. "
            f"rediss+{scheme}:// is TLS."
        )
        assert noted(f"redis+{scheme}://{hosts}{path}") == (message if is_far else "")
        assert not noted(f"rediss+{scheme}://{hosts}{path}")


@pytest.mark.parametrize("folder", ["/tmp", "/var/tmp", "/dev/shm", "/run"])  # noqa: S108 nothing is written there
def test_a_file_that_will_not_last_is_worth_a_note(folder: str) -> None:
    message = f"session.store lies below {folder}: it will not last, and what it remembers goes with it."
    assert noted(f"sqlite:{folder}/sessions.db") == message
    assert not noted("sqlite:/var/lib/sessions.db")
