"""A session as bytes: nothing of it is lost on the way."""

from dataclasses import fields

from oauth_proxy.identity import Identity, Session, Tokens, decode, encode


def test_every_field_of_an_identity_and_of_tokens_survives() -> None:
    who = Identity("an-id", "an-email", "a-name", "an-account", ("account:1", "account:1:owner"), "a-set")
    tokens = Tokens("access", 1.0, 2.0, "refresh", "a scope")
    for thing in (who, tokens):
        assert all(getattr(thing, field.name) for field in fields(thing)), "a new field gets a value here"
    session = Session("a-session", who, tokens, 3.0, 4.0, 5.0)
    assert decode(encode(session)) == session


def test_a_session_of_another_version_is_none() -> None:
    content = encode(Session("a-session", Identity("an-id"), Tokens("access", 1.0, 2.0), 3.0, 4.0, 5.0))
    assert decode(content.replace(b"[2,", b"[3,", 1)) is None


def test_half_a_character_survives() -> None:
    session = Session(
        "a-session", Identity("an-id", name="half \ud83d"), Tokens("access", 1.0, 2.0), 3.0, 4.0, 5.0
    )
    assert decode(encode(session)) == session
