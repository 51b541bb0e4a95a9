"""YAML with positions, variables and files; no value is guessed."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_proxy.errors import ConfigurationError
from oauth_proxy.settings import parse
from tests.support.configuration import KEY, file, problems, read

MAPPING = "keys with values are wanted, such as listen: 127.0.0.1:4180"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "1:1: the file is empty"),
        ("# only a comment\n", "1:1: the file is empty"),
        ("- a\n", "1:1: keys with values are wanted, such as listen: 127.0.0.1:4180"),
        ("just text", "1:1: keys with values are wanted, such as listen: 127.0.0.1:4180"),
        ("a: b: c", "1:5: a ':' cannot stand here; correct the line's indentation, or quote the text"),
        ("a: 1\n b: 2", "2:3: a ':' cannot stand here; correct the line's indentation, or quote the text"),
        ("a:\n\tb: c", "2:1: a tab cannot stand here; YAML is indented with spaces"),
        ("a: [1, 2\nb: 3", "2:2: a ',' or a ']' is missing before this"),
        ("a: {b: 1\n", "2:1: a ',' or a '}' is missing before this"),
        ("a: {b: ${C}}", '1:9: between [ ] or { } a variable stands in quotes: "${NAME}"'),
        ("a: [${C}]", '1:6: between [ ] or { } a variable stands in quotes: "${NAME}"'),
        ("a: 'x", "1:4: the quotation mark that opens here is never closed"),
        ("a: @x", "1:4: text that begins with this character stands in quotes"),
        ("email: *@example.com", "1:9: text that begins with '*' or '&' stands in quotes"),
        ("a: *b", "1:4: no anchor of this name stands above; text that begins with '*' stands in quotes"),
        ("a: &b 1\nc: &b 2", "2:4: an anchor of this name stands above already"),
        ("a: 1\n---\nb: 2", "2:1: a second document begins here; the file holds one"),
        ("- a\nb: c", "2:1: this line is not indented like its neighbours"),
        (
            'a: "\\q"',
            "1:6: this escape is not known; between single quotes a backslash is only a backslash, "
            "and the folders of a path are parted by '/'",
        ),
        ('a: "\\UFFFFFFFF"', "1:7: this escape is not a character"),
        ("a: 1\nb: \x07", "2:4: this character cannot stand in YAML"),
        ("a: b: 1", "1:5: a ':' cannot stand here; correct the line's indentation, or quote the text"),
        ("a: c\n  b: 1", "2:4: a ':' cannot stand here; correct the line's indentation, or quote the text"),
        ("a\nb: 1\nc", "1:1: a ':' and a space are missing after the key of this line"),
        ("a: 1\nb:2\n\n# more\nc: 3", "2:1: a ':' and a space are missing after the key of this line"),
        ("a: 1\nb = 2\nc: 3", "2:1: a ':' and a space are missing after the key of this line"),
        ("a: 1\nb\n", "2:1: a ':' and a space are missing after the key of this line"),
        ("a:1", f"1:1: {MAPPING}; between them stand a ':' and a space"),
        ("a = 1", f"1:1: {MAPPING}; between them stand a ':' and a space"),
        ("a:\u00a01", f"1:1: {MAPPING}; there is an unusual space in this text"),
        ("%YAML 3.0\n--- a", "1:1: this is not YAML that can be read"),
    ],
)
def test_what_is_not_a_yaml_mapping_is_told_in_one_sentence(text: str, line: str) -> None:
    assert problems(text) == [line]


def test_a_key_that_stands_twice_is_an_error_that_names_both_lines() -> None:
    assert problems(file(extra="listen: 127.0.0.1:1\nlisten: 127.0.0.1:2")) == [
        "7:1: the key 'listen' stands here twice; first on line 6"
    ]


def test_a_key_is_a_word() -> None:
    assert problems(file(extra="[a, b]: c")) == ["6:1: a key is one word or path"]


@pytest.mark.parametrize("nothing", ["", " ~", " null", ' ""', " ''"])
def test_a_key_without_a_value_is_an_error_and_not_a_default(nothing: str) -> None:
    [line] = problems(file(extra=f"listen:{nothing}"))
    assert re.fullmatch(r"6:\d: 'listen' (has no value; give it one or remove it|is empty)", line)


def test_an_empty_client_secret_does_not_make_a_pkce_app() -> None:
    text = file(frameio="frameio: {api: v4, client_id: a, client_secret: }")
    assert problems(text) == ["2:48: 'frameio.client_secret' has no value; give it one or remove it"]


def test_numbers_and_words_of_yaml_1_1_stay_what_is_written() -> None:
    assert read(file(frameio="frameio: {api: v4, client_id: 0777}")).frameio.client_id == "0777"
    assert read(file(frameio="frameio: {api: v4, client_id: no}")).frameio.client_id == "no"


def test_a_tag_is_refused() -> None:
    text = file(frameio='frameio: {api: v4, client_id: !!python/object/apply:os.system ["id"]}')
    assert problems(text) == [
        "2:31: tags such as 'tag:yaml.org,2002:python/object/apply:os.system' have no meaning here"
    ]


def test_an_anchor_can_be_used_again() -> None:
    settings = read(file(upstreams="upstreams: {/: &tool {url: http://a}, /b/: *tool}"))
    assert settings.upstreams["/"] == settings.upstreams["/b/"]


TOO_MUCH = "the file holds more than 10000 values, or more than 20 inside each other"


@pytest.mark.parametrize(
    "bomb",
    [
        "a: &a [*a]",
        "a: &a {b: *a}",
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
            for before, name in zip("abcde", "bcdef", strict=True)
        ),
        "[" * 100_000,
        "{a: " * 100_000,
        "- " * 100_000,
        "a: [" + "b, " * 20_000 + "]",
    ],
    ids=["itself", "itself as a mapping", "billion laughs", "lists", "mappings", "blocks", "many"],
)
def test_a_file_that_unfolds_to_too_much_is_refused(bomb: str) -> None:
    [line] = problems(bomb)
    assert line.endswith(TOO_MUCH)


def test_a_variable_stands_anywhere_in_a_text() -> None:
    settings = read(
        file(upstreams='upstreams: {/: "http://${HOST}:${PORT}/a$$b"}'),
        {"HOST": "tool", "PORT": "3000", "OTHER": "x"},
    )
    assert str(settings.upstreams["/"].url) == "http://tool:3000/a$b"


def test_what_a_variable_holds_is_not_read_for_variables_again() -> None:
    settings = read(file(frameio='frameio: {api: v4, client_id: "${ID}"}'), {"ID": "a${HOME}$$"})
    assert settings.frameio.client_id == "a${HOME}$$"


def test_a_variable_that_is_not_set_is_told_with_the_one_that_is() -> None:
    text = file(frameio='frameio: {api: v4, client_id: "${FRAMEIO_CLIENTID}"}')
    line = "2:31: the environment variable FRAMEIO_CLIENTID is not set"
    assert problems(text, {"FRAMEIO_CLIENT_ID": "x", "HOME": "/"}) == [line + " (did you mean FRAMEIO_CLIENT_ID?)"]
    assert problems(text, {"HOME": "/"}) == [line]


@pytest.mark.parametrize(
    ("written", "suggestion"),
    [("$HOME", " (did you mean ${HOME}?)"), ("a$", ""), ("${}", ""), ("${1}", ""), ("${A", "")],
)
def test_a_dollar_sign_that_could_be_a_variable_is_an_error(written: str, suggestion: str) -> None:
    text = file(frameio=f'frameio: {{api: v4, client_id: "{written}"}}')
    assert problems(text, {"A": "a"}) == [
        f"2:31: a variable is written ${{NAME}}, and a dollar sign $${suggestion}"
    ]


def test_a_variable_has_no_default_and_a_regular_expression_is_none() -> None:
    text = file(frameio='frameio: {api: v4, client_id: "${A:-b}"}')
    assert problems(text, {"A": "a"}) == ["2:31: a variable has no default here (did you mean ${A}?)"]
    text = file(access='access: {allow: [everyone], public: ["^/assets/.*$"]}')
    assert problems(text) == [
        "5:38: a variable is written ${NAME}, and a dollar sign $$; but no text here is a regular expression"
    ]


@pytest.mark.parametrize(
    ("value", "message"), [("", "is empty"), ("a\x1b[31m", "has control characters or unusual spaces in it")]
)
def test_a_variable_with_nothing_or_controls_in_it_is_an_error(value: str, message: str) -> None:
    text = file(frameio='frameio: {api: v4, client_id: "${ID}"}')
    assert problems(text, {"ID": value}) == [f"2:31: 'frameio.client_id' {message}"]


def test_a_secret_may_stand_in_a_file_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "client").write_text("from-a-file\r\n", "utf-8")
    (tmp_path / "session").write_text(f"{KEY}\n", "utf-8")
    settings = read(
        file(
            frameio="frameio: {api: v4, client_id: an-app, client_secret_file: client}",
            session=f'session: {{secret_file: "{tmp_path}/session"}}',
        ),
        folder=tmp_path,
    )
    assert settings.frameio.client_secret is not None
    assert settings.frameio.client_secret.get_secret_value() == "from-a-file"
    assert len(settings.session.keys) == 1


def test_a_webhook_s_secrets_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "hook").write_text("new-one\nold-one\n", "utf-8")
    settings = read(file(extra="webhooks: {/hooks/frameio: {secret_file: hook}}"), folder=tmp_path)
    assert settings.webhooks["/hooks/frameio"].keys == [b"new-one", b"old-one"]
    both = "webhooks: {/hooks/frameio: {secret: a, secret_file: hook}}"
    assert problems(file(extra=both), folder=tmp_path) == [
        "6:53: 'webhooks./hooks/frameio.secret' and 'webhooks./hooks/frameio.secret_file' are both given; keep one"
    ]


@pytest.mark.parametrize("separator", ["\n", "\r\n", " "])
def test_a_file_may_hold_several_session_secrets(tmp_path: Path, separator: str) -> None:
    other = "zH3mVb0kQ1n5cW8xR2tY7uI4oP6aS9dFgJhKlZqXeCs="
    (tmp_path / "session").write_bytes(f"{KEY}{separator}{other}\n".encode())
    settings = read(file(session="session: {secret_file: session}"), folder=tmp_path)
    assert settings.session.keys == read(file(session=f"session: {{secret: [{KEY}, {other}]}}")).session.keys


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "the file cannot be read: no such file or directory"),
        (b"\xff\xfe", "the file is not UTF-8 text"),
        (b"\n", "'frameio.client_secret' is empty"),
        (b"a" * 65_537, "the file is larger than 64KiB, so it is not this secret"),
        (b"two\nlines", "this is not what Frame.io issues: it has spaces or characters outside ASCII in it"),
    ],
)
def test_a_file_without_a_good_secret_is_an_error(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "client").write_bytes(content)
    text = file(frameio="frameio: {api: v4, client_id: an-app, client_secret_file: client}")
    assert problems(text, folder=tmp_path) == [f"2:59: {message}"]


def test_a_folder_is_not_a_secret(tmp_path: Path) -> None:
    text = file(frameio="frameio: {api: v4, client_id: an-app, client_secret_file: .}")
    assert problems(text, folder=tmp_path) == ["2:59: the file cannot be read: is a directory"]


def test_a_secret_and_a_file_for_it_are_one_too_many() -> None:
    text = file(frameio="frameio:\n  api: v4\n  client_id: a\n  client_secret: b\n  client_secret_file: c")
    assert problems(text) == [
        "6:23: 'frameio.client_secret' and 'frameio.client_secret_file' are both given; keep one"
    ]


def test_a_file_for_a_secret_is_named_by_one_text() -> None:
    text = file(session="session: {secret_file: [a]}")
    assert problems(text) == ["3:24: 'session.secret_file' is the path of a file"]


def test_a_file_whose_name_is_in_an_unset_variable_is_one_problem() -> None:
    text = file(session='session: {secret_file: "${NOWHERE}"}')
    assert problems(text) == ["3:24: the environment variable NOWHERE is not set"]


@given(st.text(alphabet="ab: -[]{}\n\t'\"#&*!|>%@`,?~$\\0é\x07\u2028", max_size=60))
def test_no_text_whatever_raises_anything_but_a_configuration_error(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(text, filename="f", environ={}, folder=Path("/nowhere"))
    assert all(re.match(r"f:[1-9]\d*:[1-9]\d*: \S.*\Z", each) for each in caught.value.problems)
