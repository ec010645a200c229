"""The package as a wheel: nothing of the project's folder is there, and all of it runs."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
import venv
from pathlib import Path

import yaml

from enrichment_pipeline_tests.conftest import free_port

PROJECT = Path(__file__).parents[2]

# As pip writes it for a package that it has installed.
_SCRIPT = """#!{python}
import sys
from importlib.metadata import entry_points

[command] = {{it.value: it for it in entry_points(group="console_scripts", name="{name}")}}.values()
sys.exit(command.load()())
"""


def test_a_wheel_runs_the_demo_and_a_backfill_in_an_empty_folder(tmp_path: Path) -> None:
    programs = install(tmp_path)
    folder = tmp_path / "empty"
    folder.mkdir()
    python = [
        str(programs / "python"),
        "-c",
        "import enrichment_pipeline as it; print(it.__file__)",
    ]
    found = subprocess.run(python, cwd=folder, capture_output=True, text=True, check=True)
    assert found.stdout.startswith(str(tmp_path)), "the wheel is what runs"

    ports = {"ENRICHMENT_UI_PORT": str(free_port()), "ENRICHMENT_API_PORT": str(free_port())}
    demo = subprocess.Popen(
        [programs / "enrichment-pipeline", "demo"],
        cwd=folder,
        env={**os.environ, **ports},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert demo.stdout is not None
    shown = ""
    with demo.stdout as output:
        for line in output:
            shown += line
            if "Ctrl-C stops everything" in line:
                page = page_of(ports["ENRICHMENT_API_PORT"])
                demo.terminate()
    assert demo.wait() == 0, shown
    assert "rage_click" in shown
    assert "<h1>Sign in</h1>" in page
    assert [file.name for file in folder.iterdir()] == [".enrichment"]

    backfill = [programs / "enrichment-pipeline", "backfill", "--from", "2020-01-01", "--json"]
    done = subprocess.run(backfill, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["finished"]
    assert report["failed"] == []


def test_the_slim_wheel_classifies_with_no_other_package_than_pyyaml(tmp_path: Path) -> None:
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "--quiet"]
    install_it = ["install", "--no-deps", "--target", str(site), str(PROJECT / "deploy" / "slim")]
    subprocess.run([*pip, *install_it], check=True)
    shutil.copytree(Path(yaml.__file__).parent, site / "yaml")
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r}); import enrichment_pipeline as it; "
        "print(it.__file__, it.classify_event('Product Clicked', {}).action_type)"
    )
    # Isolated, and without the packages of the environment.
    alone = [sys.executable, "-I", "-S", "-c", code]
    said = subprocess.run(alone, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert said.split() == [str(site / "enrichment_pipeline" / "__init__.py"), "click"]


def page_of(port: str) -> str:
    """What a browser gets from the API."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"Accept": "text/html"})
    with urllib.request.urlopen(request) as response:
        return str(response.read().decode())


def install(folder: Path) -> Path:
    """Build the wheel and install it into an environment of its own; what it requires is taken from
    that of the tests. Returns the folder of its programs."""
    pip = [sys.executable, "-m", "pip", "--quiet"]
    build = ["wheel", "--no-deps", "--wheel-dir", str(folder), str(PROJECT)]
    subprocess.run([*pip, *build], check=True)
    environment = folder / "venv"
    venv.create(environment, symlinks=True)
    programs = environment / "bin"
    place = ["--python", str(programs / "python"), "install", "--no-deps", "--no-index"]
    subprocess.run([*pip, *place, *map(str, folder.glob("*.whl"))], check=True)
    required = [path for path in sys.path if path.endswith("site-packages")]
    [packages] = environment.glob("lib/python*/site-packages")
    (packages / "required.pth").write_text("\n".join(required))
    daemon = programs / "dagster-daemon"
    daemon.write_text(_SCRIPT.format(python=programs / "python", name=daemon.name))
    daemon.chmod(0o755)
    return programs
