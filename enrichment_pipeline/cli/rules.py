"""`enrichment-pipeline rules`: the rules, what other rules would change, the rules as SQL."""

from pathlib import Path
from typing import Annotated

import typer

from enrichment_pipeline.classification import EventClassification, Rules, load_rules
from enrichment_pipeline.classification.as_sql import DIALECTS, RUN, Dialect, rules_as_sql
from enrichment_pipeline.classification.deciding import decide, suggestion
from enrichment_pipeline.cli.console import fail, out, print_json, print_table, write
from enrichment_pipeline.enrichment.rules_diff import RulesDiff, diff_rules
from enrichment_pipeline.events.masked import masked_name
from enrichment_pipeline.settings import load_settings
from enrichment_pipeline.store.database.engine import existing_store
from enrichment_pipeline.store.reading.catalogue import CatalogueRow, catalogue
from enrichment_pipeline.wording import command, counted

app = typer.Typer(
    help="How events are classified, and what other rules would change.\n\n"
    "Example: [bold]enrichment-pipeline rules diff rules.yaml[/]",
    no_args_is_help=True,
)

RulesFile = Annotated[
    Path | None, typer.Argument(help="A rules file; unset: ENRICHMENT_RULES_FILE.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_MOST_READ = 10_000
_PRIVATE = "its name holds private data: cover such names by a pattern, or mend who sends them"


@app.command("show")
def show(file: RulesFile = None, as_json: AsJson = False) -> None:
    """Show the rules, in the order in which they are tried.

    Example: [bold]enrichment-pipeline rules show[/]
    """
    rules = _load(file)
    rows = [
        *(
            ("sub-type", f"{name} with $event_type {kind}", *answer)
            for name, by_kind in rules.sub_types.items()
            for kind, answer in by_kind.items()
        ),
        *(("name", name, *answer) for name, answer in rules.events.items()),
        ("default", "other names with $ in front", *rules.with_dollar),
        *(("pattern", text, *answer) for text, answer in rules.patterns),
        ("default", "all other names", *rules.without_dollar),
    ]
    columns = ("rule", "matches", "event_type", "action_type")
    if as_json:
        described = [dict(zip(columns, row, strict=True)) for row in rows]
        print_json({"rules_version": rules.version, "rules": described})
        return
    print_table(columns, rows, title=f"Rules version {rules.version}")


@app.command("check")
def check(file: RulesFile = None, as_json: AsJson = False) -> None:
    """Say whether a rules file can be used, and what it adds to the built-in rules.

    A file that cannot be used ends the command with 1 and a message that names the line at fault.

    Example: [bold]enrichment-pipeline rules check rules.yaml[/]
    """
    rules, built_in = _load(file), load_rules()
    names = {
        name: (built_in.events.get(name), answer)
        for name, answer in rules.events.items()
        if built_in.events.get(name) != answer
    }
    patterns = rules.patterns[: len(rules.patterns) - len(built_in.patterns)]
    if as_json:
        print_json(
            {
                "rules_version": rules.version,
                "built_in_version": built_in.version,
                "names": {name: _said(answer) for name, (_, answer) in names.items()},
                "patterns": {text: _said(answer) for text, answer in patterns},
            }
        )
        return
    out.print(f"Good. Rules version {rules.version}", highlight=False)
    for name, (before, answer) in names.items():
        instead = f", instead of {_said(before)}" if before else ""
        out.print(f"  {name}: {_said(answer)}{instead}", highlight=False, markup=False)
    for text, answer in patterns:
        out.print(f"  names with {text!r}: {_said(answer)}", highlight=False, markup=False)
    if rules.version == built_in.version:
        out.print("  It says nothing else than the built-in rules.")


@app.command("diff")
def diff(file: RulesFile = None, as_json: AsJson = False) -> None:
    """Say what other rules would change in the enriched events. Nothing is changed.

    Try a file before you use it. Once ENRICHMENT_RULES_FILE names it, new events are enriched by
    it, and `backfill --changed` enriches again the old ones that it changes.

    Example: [bold]enrichment-pipeline rules diff rules.yaml[/]
    """
    rules = _load(file)
    with existing_store(load_settings()) as store:
        found = diff_rules(store, rules)
    if as_json:
        print_json(
            {
                "rules_version": found.rules_version,
                "versions": dict(found.versions),
                "events": found.events,
                "windows": found.windows,
                "changes": [
                    {**change._asdict(), "event": masked_name(change.event)}
                    for change in found.changes
                ],
            }
        )
        return
    _print_diff(found)


@app.command("unmatched")
def unmatched(
    file: RulesFile = None,
    limit: Annotated[int, typer.Option(min=1, help="Names at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the event names that no rule covers, the most frequent first, each with a line for the
    section `events` of a rules file.

    Example: [bold]enrichment-pipeline rules unmatched[/]
    """
    rules = _load(file)
    with existing_store(load_settings()) as store, store.transaction() as connection:
        rows = catalogue(connection, limit=_MOST_READ)
    found = _by_name([row for row in rows if decide(rules, row.event).kind == "default"])[:limit]
    if as_json:
        print_json(
            [
                {**row._asdict(), "event": masked_name(row.event), "suggestion": _rule(rules, row)}
                for row in found
            ]
        )
        return
    if not found:
        out.print("Every event has a rule that says something about it.")
        return
    for row in found:
        said = f"{row.event_type}/{row.action_type}"
        write(f"{counted(row.events, 'event')} of {masked_name(row.event)}, {said}: {row.sample}")
        write(f"    {_rule(rules, row) or _PRIVATE}")


@app.command("export")
def export(
    dialect: Annotated[str, typer.Option(help=f"One of {', '.join(DIALECTS)}.")],
    file: RulesFile = None,
    event: Annotated[str, typer.Option(help="SQL that gives the event's name.")] = "event",
    sub_type: Annotated[
        str, typer.Option(help="SQL that gives its property $event_type.")
    ] = "sub_type",
) -> None:
    """Write the rules as SQL for a warehouse: two expressions for a SELECT list.

    Example: [bold]enrichment-pipeline rules export --dialect duckdb --sub-type
    "properties->>'$event_type'"[/]
    """
    from sqlglot.errors import SqlglotError

    known: dict[str, Dialect] = {name: name for name in DIALECTS}
    if dialect not in known:
        fail(f"--dialect {dialect!r} is none; there are {', '.join(DIALECTS)}")
    rules = _load(file)
    try:
        found = rules_as_sql(rules, known[dialect], event, sub_type)
    except SqlglotError as error:
        fail(f"--event or --sub-type is no SQL of {dialect}: {str(error).splitlines()[0]}")
    tested = "" if known[dialect] in RUN else f"-- {dialect}: generated, not run\n"
    write(
        f"{tested}-- enrichment-pipeline, rules version {rules.version}\n"
        f"{found.event_type} AS event_type,\n{found.action_type} AS action_type\n"
    )


def _load(file: Path | None) -> Rules:
    return load_rules(file or load_settings().rules_file)


def _rule(rules: Rules, row: CatalogueRow) -> str | None:
    """A line for a rules file; none for a name that holds private data, which no file should."""
    is_private = masked_name(row.event) != row.event
    return None if is_private else suggestion(rules, row.event)


def _said(answer: EventClassification) -> str:
    return "/".join(answer)


def _by_name(rows: list[CatalogueRow]) -> list[CatalogueRow]:
    """One row for each name: the catalogue has two for a name that was classified in two ways."""
    names: dict[str, CatalogueRow] = {}
    for row in rows:
        known = names.get(row.event)
        names[row.event] = known._replace(events=known.events + row.events) if known else row
    return sorted(names.values(), key=lambda row: -row.events)


def _print_diff(found: RulesDiff) -> None:
    had = ", ".join(
        f"{version} ({counted(events, 'event')})" for version, events in found.versions.items()
    )
    out.print(f"Enriched now: {had or 'nothing'}", highlight=False, soft_wrap=True)
    out.print(f"Asked about:  {found.rules_version}", highlight=False)
    if not found.changes:
        out.print("Nothing would come out otherwise.")
        return
    for change in found.changes:
        first, last = min(change.windows), max(change.windows)
        write(
            f"{counted(change.events, 'event')} of {masked_name(change.event)}: {change.was} "
            f"would be {change.is_now}; {counted(len(change.windows), 'window')}, "
            f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}; "
            f"such as {change.uuid}: {change.sample}"
        )
    out.print(
        f"{counted(found.events, 'event')} in {counted(len(found.windows), 'window')} would come "
        "out otherwise.",
        highlight=False,
    )
    if lost := sum(change.without_raw for change in found.changes):
        out.print(
            f"{counted(lost, 'more event')} without a raw event, kept as enriched.", highlight=False
        )
    out.print(
        "Nothing was changed. With these rules in ENRICHMENT_RULES_FILE: "
        f"{command('backfill --changed')}",
        soft_wrap=True,
        highlight=False,
    )
