"""The site of the documentation, built in a folder of its own."""

import shutil
import subprocess
import sys
from pathlib import Path

from reference import for_models

PROJECT = Path(__file__).parents[2]


def build(folder: Path) -> Path:
    """Build the site as `make docs` does, but in `folder`; returns where its pages are."""
    shutil.copytree(PROJECT / "docs", folder / "docs")
    shutil.copy(PROJECT / "zensical.toml", folder)
    program = Path(sys.executable).with_name("zensical")
    done = subprocess.run(
        [program, "build", "--strict"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    site = folder / "build" / "site"
    for_models.write(site)
    return site
