import pytest

from oauth_proxy.settings import Redis, effective, notes
from tests.settings.samples import KEY, file, problem, read
from tests.settings.test_notes import TODAY


def with_store(store: str) -> str:
    return file(session=f'session: {{secret: {KEY}, store: "{store}"}}')


@pytest.mark.parametrize(
    ("text", "redis"),
    [
        ("redis://host", Redis("host", 6379, 0)),
        ("REDIS://Host:1234/15", Redis("host", 1234, 15)),
        ("redis://[::1]:1234/", Redis("::1", 1234, 0)),
        ("rediss://:p%40ss@host/2", Redis("host", 6379, 2, tls=True, password="p@ss")),
        ("redis://jo:secret@10.0.0.7:6379/0", Redis("10.0.0.7", 6379, 0, user="jo", password="secret")),
    ],
)
def test_a_redis_is_read(text: str, redis: Redis) -> None:
    assert read(with_store(text)).session.store == redis


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
        "redis+sentinel://host",
        "unix:///run/redis.sock",
    ],
)
def test_what_is_no_redis_is_refused(text: str) -> None:
    assert problem(session=f'session: {{secret: {KEY}, store: "{text}"}}')


def test_a_store_that_nobody_knows_is_refused_and_not_ignored() -> None:
    sentence = "the store is cookie or redis://host:6379/0 (did you mean cookie?)"
    assert problem(session=f"session: {{secret: {KEY}, store: memory}}") == sentence


def test_the_password_is_never_shown() -> None:
    settings = read(with_store("rediss://jo:a-password@[::1]:7000/3"))
    assert "store: rediss://jo:<hidden>@[::1]:7000/3" in effective(settings)
    assert "a-password" not in effective(settings) + repr(settings) + str(settings.session.store)


def test_a_redis_that_can_be_read_on_the_way_is_worth_a_note() -> None:
    def noted(store: str) -> bool:
        return any("session.store" in note for note in notes(read(with_store(store)), TODAY))

    assert noted("redis://:secret@cache.internal:6379/0")
    assert not noted("rediss://:secret@cache.internal:6379/0")
    assert not noted("redis://127.0.0.1:6379/0")
    assert not noted("cookie")
