"""All problems are reported at once, each at its position, none with the value of a variable."""

import os
from pathlib import Path

import pytest

from oauth_proxy.errors import ConfigurationError
from oauth_proxy.settings import load
from tests.support.configuration import KEY, file, problems, read

MANY = """\
public_url: http://review.example.com
frameio:
  api: v2
  clientid: an-app
  client_secret: ${FRAMEIO_SECRET}
session:
  lifetime: 30
  cookie: {name: __Host-a, domain: example.org}
upstream:
  /: 127.0.0.1:3000
access:
  allow:
    - emial: "*@example.com"
  public: [healthz, "/assets*"]
headers:
  Cookie: a
timeout: 5m
"""


def test_all_problems_are_told_at_once_from_the_top_of_the_file_down() -> None:
    assert problems(MANY, {"FRAMEIO_CLIENT_SECRET": "x"}) == [
        "1:13: the public URL must be https: over http, sign-in cookies can be read on the way; "
        "only localhost, 127.0.0.1 and [::1] may use http (did you mean https://review.example.com?)",
        "4:3: unknown key 'clientid' (did you mean 'client_id'?)",
        "5:18: the environment variable FRAMEIO_SECRET is not set (did you mean FRAMEIO_CLIENT_SECRET?)",
        "6:1: 'session.secret' is missing",
        "7:13: a duration needs a unit, such as 90s, 15m, 8h or 7d (did you mean 30s?)",
        "8:18: the proxy puts __Host- or __Secure- before the name itself (did you mean a?)",
        "9:1: unknown key 'upstream' (did you mean 'upstreams'?)",
        "13:7: a rule is everyone, or email:, account:, team:, emails_file: or group: with its value "
        "(did you mean email?)",
        "14:12: a public rule is a path, or a method and a path, such as GET /healthz (did you mean /healthz?)",
        "14:21: a '*' stands only at the end, after a '/' (did you mean /assets/*?)",
        "16:3: this header belongs to the connection and cannot be set",
        "17:1: unknown key 'timeout'",
    ]


def test_problems_are_sorted_by_number_and_not_by_letter() -> None:
    lines = problems(file(extra="\n" * 5 + "b: 1\na: 2"))
    assert [line.split(":")[0] for line in lines] == ["11", "12"]


def test_what_is_missing_is_told_at_the_key_it_belongs_under() -> None:
    assert problems(file(frameio="frameio:\n  api: v4")) == ["2:1: 'frameio.client_id' is missing"]
    assert problems("listen: 127.0.0.1:4180") == [
        f"1:1: '{key}' is missing" for key in ("access", "frameio", "public_url", "session", "upstreams")
    ]


@pytest.mark.parametrize(
    ("extra", "line"),
    [
        ("client_id: a", "6:1: unknown key 'client_id' (did you mean 'frameio.client_id'?)"),
        ("idle: 1h", "6:1: unknown key 'idle' (did you mean 'session.idle'?)"),
        ("trusted_proxy: []", "6:1: unknown key 'trusted_proxy' (did you mean 'trusted_proxies'?)"),
        ("logs: {}", "6:1: unknown key 'logs' (did you mean 'log'?)"),
        ("colour: red", "6:1: unknown key 'colour'"),
        (f"{'x' * 200}: 1", f"6:1: unknown key '{'x' * 60}…'"),
        ('"a\\e[31mb": 1', "6:1: unknown key 'a\ufffd[31mb'"),
        ("<<: {}", "6:1: unknown key '<<'"),
    ],
)
def test_a_key_that_does_not_exist_is_told_with_the_one_that_was_meant(extra: str, line: str) -> None:
    assert problems(file(extra=extra)) == [line]


GONE = (
    "session.revocations is gone: write store: sqlite:revocations.db (or another path), which also remembers "
    "refreshed sessions; a Redis store remembers both by itself, and the old file is no longer read"
)


def test_a_key_that_is_gone_says_at_its_place_what_to_write_instead() -> None:
    session = f"session:\n  secret: {KEY}\n  revocations: revocations.jsonl"
    assert problems(file(session=session)) == [f"5:3: {GONE}"]


@pytest.mark.parametrize("value", ["[a]", "{a: b}", '"${A}"'])
def test_a_key_that_is_gone_is_gone_whatever_it_holds(value: str) -> None:
    [only] = problems(file(session=f"session: {{secret: {KEY}, revocations: {value}}}"), {"A": "s3cret"})
    assert only.split(": ", 1)[1] == GONE


def test_a_key_that_is_gone_hides_no_other_problem() -> None:
    lines = problems(file(session="session: {revocations: a, colour: red}"))
    assert [line.split(": ", 1)[1] for line in lines] == [
        "'session.secret' is missing",
        GONE,
        "unknown key 'colour'",
    ]


@pytest.mark.parametrize(
    ("part", "line"),
    [
        (
            {"upstreams": "upstreams: {/: {url: http://a, tiemout: 1s}}"},
            "unknown key 'tiemout' (did you mean 'timeout'?)",
        ),
        (
            {"frameio": "frameio: {api: v4, client_id: a, client_secret_fil: b}"},
            "unknown key 'client_secret_fil' (did you mean 'client_secret_file'?)",
        ),
        (
            {"frameio": "frameio: {api: v4, client_id_file: b, client_id: a}"},
            "unknown key 'client_id_file' (did you mean 'client_id'?)",
        ),
        (
            {"session": f"session: {{secret: {KEY}, cookie: {{samesite: lax}}}}"},
            "unknown key 'samesite' (did you mean 'same_site'?)",
        ),
        ({"access": "access: {alow: [everyone]}"}, "unknown key 'alow' (did you mean 'allow'?)"),
    ],
)
def test_a_misspelt_key_is_one_problem_wherever_it_stands(part: dict[str, str], line: str) -> None:
    [only] = problems(file(**part))
    assert only.split(": ", 1)[1] == line


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ({"session": 'session: {secret: "${SECRET}"}'}, "changeme"),
        ({"session": f'session: {{secret: {KEY}, lifetime: "${{SECRET}}"}}'}, "31"),
        ({"public_url": "public_url: ${SECRET}"}, "http://s3cret.example.com"),
        ({"upstreams": 'upstreams: {/: "${SECRET}"}'}, "s3cret:3000"),
        ({"access": 'access: {allow: ["${SECRET}"]}'}, "s3cret@example.com"),
        ({"access": 'access: {allow: [{email: "*@${SECRET}"}]}'}, "s3cret@x.com"),
        ({"access": 'access: {allow: "${SECRET}"}'}, "s3cret"),
        ({"extra": 'headers: {X-A: "${SECRET}"}'}, "{s3cret"),
        ({"extra": "trusted_proxies: [ '${SECRET}' ]"}, "10.77.66.55/8"),
        ({"extra": "listen: ${SECRET}"}, ":47777"),
        ({"frameio": "frameio: {api: '${SECRET}', client_id: a}"}, "s3cret"),
    ],
)
def test_what_a_variable_holds_is_never_shown(part: dict[str, str], value: str) -> None:
    [only] = problems(file(**part), {"SECRET": value})
    assert value not in only
    assert "did you mean" not in only


@pytest.mark.parametrize(
    "part",
    [
        {"session": "session: {secret: s3cret-s3cret}"},
        {"session": "session: {secret: {s3cret: s3cret}}"},
        {"session": "session: {secret: [[s3cret]]}"},
        {"session": "session: s3cret"},
        {"frameio": "frameio: {api: v4, client_id: a, client_secret: [s3cret]}"},
        {"frameio": "frameio: {api: v4, client_id: a, client_secret: a s3cret}"},
        {"frameio": "frameio: {api: v4, client_id: a, client_secret_file: [s3cret]}"},
    ],
)
def test_a_bad_secret_is_never_shown(part: dict[str, str]) -> None:
    [only] = problems(file(**part))
    assert "s3cret" not in only


def test_a_suggestion_is_short_or_not_made() -> None:
    [only] = problems(file(upstreams=f"upstreams: {{/: {'a' * 60}.{'b' * 60}}}"))
    assert only == "4:16: a URL begins with http:// or https://"


def test_a_file_is_loaded_with_paths_beside_it(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY, "utf-8")
    path = tmp_path / "proxy.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + file(session="session: {secret_file: key}").replace("\n", "\r\n").encode())
    assert load(path, {}) == read(file())


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, ": the file cannot be read: no such file or directory"),
        (b"", ":1:1: the file is empty"),
        (b"a: 1\nb: \xff", ":2:4: the file is not UTF-8 text"),
        (b"\x7fELF\x02\x01\0\0", ": this is not a text file, so it is not a configuration"),
        (b"services:\n  web: {image: nginx}\n", ":1:1: no key of this file is one of a configuration's"),
        (
            b"root:$y$j9T$s3cret:1::\njo:$y$j9T$s3cret:2::\n",
            ":1:1: no key of this file is one of a configuration's",
        ),
        (b"#" * (1024 * 1024 + 1), ": the file is larger than 1MiB, so it is not a configuration"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_in_one_sentence(
    tmp_path: Path, content: bytes | None, line: str
) -> None:
    path = tmp_path / "proxy.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        load(path, {})
    assert caught.value.problems == [f"{path}{line}"]


def test_a_folder_is_not_a_configuration(tmp_path: Path) -> None:
    sentence = f"{tmp_path}: this is a folder, and a file is wanted"
    assert told_of(tmp_path) == sentence
    (tmp_path / "oauth-proxy.yaml").touch()
    assert told_of(tmp_path) == f"{sentence} (did you mean {tmp_path}/oauth-proxy.yaml?)"


def test_a_file_that_this_user_may_not_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "proxy.yaml"
    path.touch(0)
    if os.access(path, os.R_OK):
        assert told_of(path) == f"{path}:1:1: the file is empty"  # root may read everything
    else:
        assert told_of(path) == f"{path}: the file cannot be read: permission denied"


def test_neither_an_endless_device_nor_a_huge_file_is_read_to_its_end(tmp_path: Path) -> None:
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(1024**3)
    for path in (huge, Path("/dev/zero")):
        assert told_of(path) == f"{path}: the file is larger than 1MiB, so it is not a configuration"
    assert told_of(Path("/dev/null")) == "/dev/null:1:1: the file is empty"


def test_a_pipe_is_read_as_a_shell_makes_it_and_waited_for_only_so_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = os.pipe()
    os.write(theirs, file().encode())
    os.close(theirs)
    assert load(Path(f"/dev/fd/{ours}"), {}) == read(file())
    os.close(ours)
    monkeypatch.setattr("oauth_proxy.settings.content.PATIENCE", 0.01)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    late = f"{pipe}: the file cannot be read: its end has not come out of this pipe within 0.01 s"
    assert told_of(pipe) == late
    writer = os.open(pipe, os.O_RDWR)
    os.write(writer, file().encode())
    assert told_of(pipe) == late
    os.close(writer)


@pytest.mark.parametrize(
    "part",
    [
        {"session": "session: {secret_file: pipe}"},
        {"access": "access: {allow: [{emails_file: pipe}]}"},
        {"extra": "tls: {cert: pipe, key: pipe}"},
    ],
)
def test_no_file_that_is_named_is_waited_for_without_an_end(
    part: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oauth_proxy.settings.content.PATIENCE", 0.01)
    os.mkfifo(tmp_path / "pipe")
    lines = problems(file(**part), folder=tmp_path)
    assert all(" out of this pipe " in line or "this is a pipe" in line for line in lines), lines


def test_text_of_another_encoding_is_told_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "proxy.yaml"
    path.write_bytes(file().encode("utf-16"))
    assert told_of(path) == f"{path}: the file is UTF-16 text; save it as UTF-8"


def told_of(path: Path) -> str:
    """The one problem of what is there."""
    with pytest.raises(ConfigurationError) as caught:
        load(path, {})
    [only] = caught.value.problems
    return only
