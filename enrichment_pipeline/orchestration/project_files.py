"""The files by which Dagster's own commands find the pipeline from a folder of somebody's."""

from collections.abc import Mapping
from pathlib import Path

_HERE = Path(__file__).parent

# `dg` looks for the code below the folder: a package that is installed elsewhere needs this one.
_CODE = '''\
"""What `dg` loads: the pipeline. The other commands of Dagster read workspace.yaml."""

from enrichment_pipeline.orchestration.one_location import defs

__all__ = ["defs"]
'''

_DG = """\
# What `dg` loads.
directory_type = "project"

[cli]
suppress_warnings = ["project_and_activated_venv_mismatch"]

[project]
root_module = "definitions"
code_location_name = "enrichment_pipeline"
defs_module = "definitions"
code_location_target_module = "definitions"
"""


def project_files() -> Mapping[str, str]:
    """The text of each file, by its name."""
    packaged = ("dagster.yaml", "workspace.yaml")
    return {
        **{name: (_HERE / name).read_text() for name in packaged},
        "definitions.py": _CODE,
        "dg.toml": _DG,
    }
