"""`make install`: it says what goes on, takes uv, and pip where uv cannot; the demo needs less."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from enrichment_pipeline_tests.deploy.files import PROJECT

# In place of Python: makes an environment of programs that say how they were called.
_PYTHON = """#!/bin/sh
[ "$1 $2" = "-m venv" ] || exit 0
mkdir -p .venv/bin
for name in pip uv; do
    [ $name = "$WITHOUT" ] && continue
    printf '#!/bin/sh\\necho "%s $*"\\n[ "$WRONG" != %s ]\\n' $name $name > .venv/bin/$name
    chmod +x .venv/bin/$name
done
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("Makefile", "pyproject.toml", "requirements.txt"):
        shutil.copyfile(PROJECT / name, tmp_path / name)
    python = tmp_path / "python"
    python.write_text(_PYTHON)
    python.chmod(0o755)
    return tmp_path


def install(
    project: Path, target: str = "install", **variables: str
) -> subprocess.CompletedProcess[str]:
    make = shutil.which("make")
    assert make
    # Not as a part of the make that may run the tests.
    around = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        [make, target, f"PYTHON={project / 'python'}"],
        cwd=project,
        env={**around, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_is_installed_by_uv(project: Path) -> None:
    done = install(project)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Installing some 150 packages")
    assert "--python .venv/bin/python --constraint requirements.txt --editable ." in done.stdout
    assert "--constraint requirements.txt --editable .[dev]" in done.stdout
    assert done.stdout.endswith("Installed by uv.\n")
    assert "Installing" not in install(project).stdout, "once"


@pytest.mark.parametrize("variables", [{"WRONG": "uv"}, {"WITHOUT": "uv"}])
def test_where_uv_cannot_pip_does_it(project: Path, variables: dict[str, str]) -> None:
    done = install(project, **variables)
    assert done.returncode == 0, done.stderr
    pip = "pip --disable-pip-version-check install"
    assert f"{pip} --constraint requirements.txt --editable ." in done.stdout
    assert f"{pip} --constraint requirements.txt --editable .[dev]" in done.stdout
    assert done.stdout.endswith("Installed by pip.\n")


def test_what_could_not_be_installed_is_no_success(project: Path) -> None:
    done = install(project, WITHOUT="uv", WRONG="pip")
    assert done.returncode != 0
    assert "Installed by" not in done.stdout
    assert not (project / ".venv" / "runs").exists()
    assert not (project / ".venv" / "installed").exists()


def test_the_demo_needs_nothing_of_the_tests(project: Path) -> None:
    done = install(project, ".venv/runs")
    assert done.returncode == 0, done.stderr
    assert "[dev]" not in done.stdout
    assert "Installing some 110 packages more" in install(project).stdout
