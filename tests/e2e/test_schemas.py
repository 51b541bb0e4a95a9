"""What Compose and Kubernetes say of the files in config/: their own parsers and schemas, built by Go."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.places import CONFIG

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]  # Go compiles them first

FOLDER = Path(__file__).with_name("schemas")
COMPOSE = ("github.com/compose-spec/compose-go/v2/cmd",)
KUBERNETES = ("sigs.k8s.io/kubectl-validate", "--version", "1.30")
"""The newest version whose schemas the tool brings."""
FILES = [("compose.yaml", COMPOSE, "read_only:"), ("kubernetes.yaml", KUBERNETES, "readOnlyRootFilesystem:")]


def judged(tool: tuple[str, ...], file: Path) -> subprocess.CompletedProcess[str]:
    go = shutil.which("go")
    if go is None:
        pytest.skip("Go is not installed")
    command = [go, "tool", *tool, str(file)]
    return subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=600, check=False)  # noqa: S603


@pytest.mark.parametrize(("name", "tool", "key"), FILES)
def test_the_file_is_what_the_schema_wants_and_a_wrong_key_is_not(
    name: str, tool: tuple[str, ...], key: str, tmp_path: Path
) -> None:
    good = judged(tool, CONFIG / name)
    assert good.returncode == 0, good.stdout + good.stderr
    wrong = tmp_path / name
    wrong.write_text((CONFIG / name).read_text("utf-8").replace(key, f"x{key}"))
    assert judged(tool, wrong).returncode != 0
