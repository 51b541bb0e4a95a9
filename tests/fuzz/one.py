"""One target, fuzzed for some seconds by atheris, or by hypothesis where atheris cannot be had.

atheris has wheels for CPython 3.11 to 3.14 on Linux (x86_64), as requirements-fuzz.txt says, and is led by the
branches of oauth_proxy that a case reaches. hypothesis puts pieces of the known cases together in other ways.
Whatever fails is written to the target's folder in tests/fuzz/cases, and is a part of the tests from then on.
"""

import hashlib
import sys
import time
from pathlib import Path

from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

CASES = Path(__file__).parent / "cases"


def with_atheris(name: str, seconds: int, corpus: str) -> None:
    """Does not return: libFuzzer ends the process when it has found something, or when the time is over.

    In the folder `corpus` it keeps what reached a branch for the first time.
    """
    import atheris

    with atheris.instrument_imports(include=["oauth_proxy"]):
        from tests.fuzz.targets import TARGETS
    options = ["max_len=4096", "timeout=20", "rss_limit_mb=2048", f"max_total_time={seconds}"]
    options.append(f"artifact_prefix={CASES / name}/found-")
    atheris.Setup(["fuzz", corpus, str(CASES / name), *(f"-{option}" for option in options)], TARGETS[name])
    atheris.Fuzz()


def with_hypothesis(name: str, seconds: int) -> None:
    """Plays one batch after another until the time is over; raises what a case fails with."""
    from tests.fuzz.targets import TARGETS

    known = [case.read_bytes() for case in sorted((CASES / name).iterdir())]
    pieces = st.sampled_from(known).flatmap(
        lambda case: st.tuples(*[st.integers(0, len(case))] * 2).map(lambda cut: case[min(cut) : max(cut)])
    )
    ends, runs, last = time.monotonic() + seconds, 0, b""

    @hypothesis_settings(database=None, deadline=None, max_examples=500, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.one_of(pieces, st.binary(max_size=16)), max_size=8).map(b"".join))
    def batch(data: bytes) -> None:
        nonlocal runs, last
        runs, last = runs + 1, data
        TARGETS[name](data)

    while time.monotonic() < ends:
        try:
            batch()
        except BaseException:
            (CASES / name / f"found-{hashlib.sha256(last).hexdigest()[:40]}").write_bytes(last)
            raise
        sys.stderr.write(f"#{runs} DONE cov: 0\n")


if __name__ == "__main__":
    try:
        with_atheris(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    except ImportError:
        with_hypothesis(sys.argv[1], int(sys.argv[2]))
