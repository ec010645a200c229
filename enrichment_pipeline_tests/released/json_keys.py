"""The keys of what commands print with `--json`."""

import json
from pathlib import Path
from typing import Any

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.cli.test_commands import call
from enrichment_pipeline_tests.cli.test_json import ARGUMENTS, prepared
from enrichment_pipeline_tests.released.interface import keys_of

# With an answer, in this store.
_ARGUMENTS = ARGUMENTS | {"funnel": ["$pageview", "page=/pricing"]}


def json_keys(store: Store, rules: Rules, folder: Path) -> dict[str, Any]:
    """The keys by command, on a store with an event, a session and a dead letter; the folder is the
    working folder."""
    values = prepared(store, rules, folder, is_filled=True)
    call("sessions", "build")
    found = {}
    for command, given in sorted(_ARGUMENTS.items()):
        arguments = [values.get(argument, argument) for argument in given]
        printed = call(*command.split(), *arguments, "--json").stdout
        if printed:
            found[command] = keys_of(json.loads(printed))
    return found
