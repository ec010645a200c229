"""The public interface as plain data: whatever stands there may be added to, but not go or change.

Texts that people read (help, descriptions) are no part of it.
"""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml

import enrichment_pipeline
from enrichment_pipeline.classification.rules_file import SECTIONS
from enrichment_pipeline.ingest.api.status import description
from enrichment_pipeline.orchestration.definitions import build_definitions
from enrichment_pipeline.settings import Settings, load_settings, variable_name
from enrichment_pipeline.store.database.schema import newest_version
from enrichment_pipeline.store.database.tables import metadata as tables
from enrichment_pipeline.store.reading.exporting import What, columns_of
from reference.commands import every_command
from reference.metrics import every_metric
from reference.routes import every_operation, followed
from reference.tables import column_type
from reference.tools import every_tool

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
PUBLIC_TABLES = ("enriched_event", "session_timeline", "dead_letter")

Interface = dict[str, Any]


def interface() -> Interface:
    """All that is public, but the keys of `--json`, for which commands must run."""
    return {
        "schema": newest_version(),
        "commands": {name: _command(one) for name, one in every_command().items()},
        "settings": {
            variable_name(name): _default(field.default)
            for name, field in Settings.model_fields.items()
        },
        "routes": dict(_routes()),
        "MCP tools": {tool.name: _tool(tool.input_schema) for tool in every_tool()},
        "tables": {
            name: {column.name: column_type(column) for column in tables.tables[name].columns}
            for name in PUBLIC_TABLES
        },
        "exports": {
            what: {
                "columns": list(columns_of(what, with_private=False)),
                "columns with --with-private": list(columns_of(what, with_private=True)),
            }
            for what in get_args(What)
        },
        "sections of a rules file": list(SECTIONS),
        "assets": sorted(_assets()),
        "code locations": sorted(_code_locations()),
        "metrics": sorted(metric.describe()[0].name for metric in every_metric()),
        "extras": _extras(),
        "Python": list(enrichment_pipeline.__all__),
    }


def keys_of(document: Any) -> Any:
    """The keys of a JSON document, as nested mappings; a list stands for its elements together."""
    if isinstance(document, Mapping):
        return {key: keys_of(value) for key, value in document.items() if _is_name(key)}
    if isinstance(document, list):
        found: dict[str, Any] = {}
        for element in document:
            found = _merged(found, keys_of(element))
        return found
    return {}


def _is_name(key: str) -> bool:
    """Whether a key is a name of ours: what data brings has other characters, or is a reason."""
    return key.isidentifier() and key == key.lower()


def _merged(one: dict[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    return one | {key: _merged(one.get(key, {}), inner) for key, inner in other.items()}


def _command(one: Any) -> Interface:
    arguments = [each for each in one.params if each.param_type_name == "argument"]
    options = [each for each in one.params if each.param_type_name == "option"]
    return {
        "takes at least": " ".join(each.name for each in arguments if each.required),
        "takes": {str(place): _argument_of(each) for place, each in enumerate(arguments, 1)},
        "needs": " ".join(sorted(max(each.opts, key=len) for each in options if each.required)),
        "options": {
            name: _option(each)
            for each in options
            for name in (*each.opts, *each.secondary_opts)
            if name != "--help"
        },
    }


def _argument_of(one: Any) -> Interface:
    return {"name": one.name, "any number": one.nargs == -1 or one.multiple} | _values(one)


def _option(one: Any) -> Interface:
    found = {
        "takes a value": not one.is_flag,
        "may be given again": one.multiple,
        "default": _default(one.default),
    }
    return found | _values(one)


def _values(one: Any) -> Interface:
    kind = one.type_descriptor.annotation
    values = get_args(kind) if get_origin(kind) is Literal else ()
    return {"values": [str(value) for value in values]} if values else {}


def _default(value: object) -> str:
    return "unset" if value is None else str(value)


def _routes() -> Iterator[tuple[str, Interface]]:
    api = description()
    for name, one in every_operation(api):
        given = [followed(api, each) for each in one.get("parameters", ())]
        yield (
            name,
            {
                "needs": " ".join(sorted(each["name"] for each in given if each.get("required"))),
                "parameters": sorted(each["name"] for each in given),
                "statuses": sorted(map(str, one["responses"])),
            },
        )


def _tool(schema: Mapping[str, Any]) -> Interface:
    return {
        "needs": " ".join(sorted(schema.get("required", ()))),
        "arguments": {name: _argument(one) for name, one in schema["properties"].items()},
    }


def _argument(one: Mapping[str, Any]) -> Interface:
    found = {"type": one["type"], "default": str(one.get("default"))}
    return found | ({"values": one["enum"]} if "enum" in one else {})


def _assets() -> list[str]:
    graph = build_definitions(load_settings()).resolve_asset_graph()
    return [key.to_user_string() for key in graph.get_all_asset_keys()]


def _code_locations() -> list[str]:
    loaded = yaml.safe_load(PROJECT.with_name("workspace.yaml").read_text())["load_from"]
    return [one["location_name"] for entry in loaded for one in entry.values()]


def _extras() -> list[str]:
    extras = tomllib.loads(PROJECT.read_text())["project"]["optional-dependencies"]
    return sorted(extra for extra in extras if not extra.startswith(("dev", "docs")))
