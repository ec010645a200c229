"""Rows of tables, and other shapes that events come in, turned into the event of an export.

This module knows what columns mean: those of PostHog's batch exports (`uuid`, `event`, `properties`
as JSON), of its UI and events API (`id`, `properties.$browser`, `*.event`,
`person.distinct_ids.0`), of HogQL (`toString(uuid)`), of warehouses (`EVENT`) and of Airbyte
(`_airbyte_data`). Unknown columns are passed on as they are. Reading rows belongs to the readers of
each format.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import msgspec

from enrichment_pipeline.events.masked import masked_list
from enrichment_pipeline.events.raw_event import RejectionReason
from enrichment_pipeline.events.text import read_json, readable_json, valid_json
from enrichment_pipeline.ingest.file_records import (
    FileRecord,
    OtherContentError,
    capped_record,
)
from enrichment_pipeline.wording import counted

Row = Mapping[str, object]
"""The values of a row by column; JSON that must stay as it was written is a `msgspec.Raw`."""

_EVENT, _AIRBYTE, _WHOLE = "event", "_airbyte_data", "*"
_PROPERTY, _WHOLE_PREFIX = "properties.", "*."
_DISTINCT_ID, _PERSONS_FIRST_ID = "distinct_id", "person.distinct_ids.0"
_JSON_COLUMNS = ("properties", "person_properties", "set", "set_once")
_KNOWN = frozenset(
    {_EVENT, _DISTINCT_ID, _AIRBYTE, "uuid", "timestamp", "elements_chain", "created_at"}
    | set(_JSON_COLUMNS)
)
_CALL = re.compile(r"\w+\((\w+)\)")


def column_name(name: str) -> str:
    """The name of a column in an export: `UUID`, `toString(uuid)` and `*.uuid` are `uuid`."""
    bare = name.strip().removeprefix(_WHOLE_PREFIX)
    call = _CALL.fullmatch(bare)
    lower = (call[1] if call else bare).lower()
    return lower if lower in _KNOWN else bare


def are_events(names: Iterable[str]) -> bool:
    """Whether a table with these columns holds events, or wrapped events."""
    return not {_EVENT, _AIRBYTE, _WHOLE}.isdisjoint(map(column_name, names))


def check_columns(names: Iterable[str]) -> None:
    """Raise OtherContentError where a table with these columns holds no events."""
    if not are_events(names):
        raise OtherContentError(f"no column 'event', so no events; it has {masked_list(names)}")


def is_wrapped(names: Iterable[str]) -> bool:
    """Whether an object with these keys is a wrapped event, which this module turns into one."""
    keys = set(names)
    if "id" in keys and "uuid" not in keys and _EVENT in keys:
        return True
    odd = (_WHOLE_PREFIX, _PROPERTY)
    return not keys.isdisjoint({_AIRBYTE, _WHOLE, _PERSONS_FIRST_ID}) or any(
        name.startswith(odd) or (column_name(name) != name and column_name(name) in _KNOWN)
        for name in keys
    )


def event_record(row: Row, position: int) -> FileRecord:
    """The event of a row. A row with a JSON column that is not valid JSON has a problem."""
    problem: str | None = None
    event = _event(row)
    for name in _JSON_COLUMNS:
        value = event.get(name)
        if value == "":
            del event[name]
        elif isinstance(value, str):
            # The validated text itself goes into the event, so its numbers stay as they were.
            read = _raw(value)
            if read is None:
                problem = f"column {name} is not valid JSON"
            else:
                event[name] = read
    record = encoded_record(event, position)
    if problem is None or record.problem is not None:
        return record
    return record._replace(problem=problem, reason=RejectionReason.INVALID_JSON)


def encoded_record(value: object, position: int) -> FileRecord:
    """A record that holds `value` as JSON."""
    payload = msgspec.json.encode(value)
    return capped_record(payload, position, len(payload))


def object_record(record: FileRecord) -> FileRecord:
    """The event of a record that holds an object of the events API or Airbyte; any other record is
    returned as it is."""
    row = None if record.problem else _object(msgspec.Raw(record.payload))
    return record if row is None else event_record(row, record.position)


def _event(row: Row) -> dict[str, Any]:
    """The row under the names of an export."""
    inner = _object(row.get(_AIRBYTE))
    if inner is None:
        row = {name: value for name, value in row.items() if not name.startswith("_airbyte_")}
    else:
        row = inner
    row = {**row, **(_object(row.get(_WHOLE)) or {})}
    event: dict[str, Any] = {}
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if name == _WHOLE or value is None or _is_null(value):
            continue
        if isinstance(value, msgspec.Raw) and bytes(value).startswith(b'"'):
            # Text, which may be JSON.
            value = _plain(value) or value
        known = column_name(name)
        if known.startswith(_PROPERTY):
            flat[known.removeprefix(_PROPERTY)] = value
        else:
            event.setdefault(known, value)
    if flat:
        event["properties"] = {**flat, **(_object(event.get("properties")) or {})}
    if not event.get(_DISTINCT_ID) and event.get(_PERSONS_FIRST_ID):
        event[_DISTINCT_ID] = event[_PERSONS_FIRST_ID]
    if "uuid" not in event and _is_uuid(event.get("id")):
        event["uuid"] = event["id"]
    return event


def _object(value: object) -> dict[str, Any] | None:
    """The fields of an object, given as such or as JSON, with their values as they were written;
    None where the value is no object."""
    if isinstance(value, dict):
        return value
    if isinstance(value, str):
        value = _raw(value)
    if not isinstance(value, msgspec.Raw):
        return None
    try:
        return msgspec.json.decode(value, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        # Some exports have the JSON in a string.
        text = _plain(value)
        return _object(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        mended = readable_json(bytes(value))
        return None if mended == bytes(value) else _object(msgspec.Raw(mended))


def _raw(text: str) -> msgspec.Raw | None:
    try:
        return valid_json(text)
    except (ValueError, RecursionError):
        return None


def _is_null(value: object) -> bool:
    return isinstance(value, msgspec.Raw) and bytes(value) == b"null"


def _plain(value: object) -> object:
    try:
        return read_json(bytes(value)) if isinstance(value, msgspec.Raw) else value
    except (ValueError, RecursionError):
        return None


def _is_uuid(value: object) -> bool:
    text = _plain(value)
    try:
        return isinstance(text, str) and bool(UUID(text))
    except ValueError:
        return False


def object_keys(payload: bytes) -> list[str] | None:
    """The keys of a JSON object; None where the payload is no object."""
    fields = _object(msgspec.Raw(payload))
    return None if fields is None else list(fields)


def answer_columns(envelope: bytes) -> list[str] | None:
    """The names of the columns in the response to a query, given without its rows."""
    names = (_object(msgspec.Raw(envelope)) or {}).get("columns")
    columns = _plain(names)
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        return None
    return columns


def next_page(envelope: bytes) -> str | None:
    """How to get the other pages, if a response of PostHog's APIs, given without its events, is one
    page of several; else None."""
    fields = _object(msgspec.Raw(envelope)) or {}
    # Not the address itself, which may hold somebody's key.
    if _plain(fields.get("next")):
        return 'import the page that its "next" names'
    if _plain(fields.get("hasMore")) is True:
        return 'its "hasMore" says so; import the answer with the next OFFSET'
    return None


def answer_record(columns: list[str], record: FileRecord) -> FileRecord:
    """The event of a row of a response: a list with one value for each column."""
    if record.problem:
        return record
    try:
        values = msgspec.json.decode(readable_json(record.payload), type=list[msgspec.Raw])
    except (ValueError, RecursionError):
        return record
    if len(values) != len(columns):
        problem = (
            f"a row of {counted(len(values), 'value')} in an answer of "
            f"{counted(len(columns), 'column')}"
        )
        return record._replace(problem=problem, reason=RejectionReason.INVALID_JSON)
    return event_record(dict(zip(columns, values, strict=True)), record.position)
