"""Each example says how it is run, and which test does."""

import re
from pathlib import Path

import pytest

from enrichment_pipeline_tests.examples import EXAMPLES

FOLDERS = sorted(path for path in EXAMPLES.iterdir() if path.is_dir() and path.name[0].isalpha())


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_an_example_names_the_test_that_runs_it_and_is_on_the_list(folder: Path) -> None:
    readme = (folder / "README.md").read_text(encoding="utf-8")
    [test] = re.findall(r"`(enrichment_pipeline_tests/\S+\.py)`", readme)
    assert folder.name in (EXAMPLES.parent / test).read_text(encoding="utf-8")
    assert f"({folder.name}/README.md)" in (EXAMPLES / "README.md").read_text(encoding="utf-8")
