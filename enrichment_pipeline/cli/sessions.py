"""`enrichment-pipeline sessions`: list sessions, and build those of days."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from enrichment_pipeline.cli.console import err, fail, out, print_json, say, write
from enrichment_pipeline.cli.moments import From, To, parse_period
from enrichment_pipeline.events.masked import masked_id
from enrichment_pipeline.llm.session_days import DayReport, build_day
from enrichment_pipeline.llm.signals import KINDS
from enrichment_pipeline.settings import load_settings
from enrichment_pipeline.store.database.engine import Store, existing_store
from enrichment_pipeline.store.queue.changes import changed_days
from enrichment_pipeline.store.queue.claims import pending_events
from enrichment_pipeline.store.sessions.listing import list_sessions
from enrichment_pipeline.wording import command, counted

app = typer.Typer(
    help="The sessions there are.\n\n"
    "Example: [bold]enrichment-pipeline sessions list --signal rage_click[/]",
    no_args_is_help=True,
)


@app.command("list")
def list_(
    project: Annotated[str | None, typer.Option(help="Of this project alone.")] = None,
    person: Annotated[
        str | None, typer.Option(help="Of this person: a distinct_id, or a name as person_….")
    ] = None,
    first: From = None,
    end: To = None,
    signal: Annotated[
        str | None, typer.Option(help=f"With such a signal: {', '.join(KINDS)}.")
    ] = None,
    contains: Annotated[str | None, typer.Option(help="With this text in the timeline.")] = None,
    page: Annotated[
        str | None, typer.Option(help="On this page, as it is shown; `/docs*`: begins so.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="With this text in the device.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many, the newest.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List sessions, the newest first, as the asset `session_timelines` has built them.

    Examples: [bold]enrichment-pipeline sessions list --signal rage_click[/],
    [bold]enrichment-pipeline sessions list --contains /checkout --from 2026-11-27[/]
    """
    if signal is not None and signal not in KINDS:
        fail(f"--signal {signal!r} is none; there are {', '.join(KINDS)}")
    start, stop = parse_period(first, end)
    with existing_store(load_settings()) as store, store.transaction() as connection:
        found = list_sessions(
            connection,
            project=project,
            person=person,
            start=start,
            end=stop,
            signal=signal,
            contains=contains,
            page=page,
            device=device,
            limit=limit,
        )
        is_any = bool(found or list_sessions(connection, limit=1))
    if as_json:
        print_json(
            [session._asdict() | {"session_id": masked_id(session.session_id)} for session in found]
        )
        return
    if not found:
        say(
            "No session is like that."
            if is_any
            else "No sessions yet. Dagster builds those of a day half a minute after its events; "
            f"without Dagster: {command('sessions build')}"
        )
        return
    for session in found:
        lasted = (session.ended_at - session.started_at).total_seconds()
        write(
            f"{session.handle or masked_id(session.session_id)}  "
            f"{session.started_at:%Y-%m-%d %H:%M:%S}  {lasted:.0f}s  "
            f"{counted(session.events, 'event')}  {session.person_handle or session.person}"
        )
        signals = f"  [{', '.join(session.signals)}]" if session.signals else ""
        write(f"    {session.outline}{signals}")


@app.command("build")
@app.command("tell", hidden=True)
def build(
    days: Annotated[
        list[str] | None, typer.Argument(help="UTC days; unset: those that events have come to.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Build the sessions of these days now, as Dagster does automatically.

    Examples: [bold]enrichment-pipeline sessions build[/],
    [bold]enrichment-pipeline sessions build 2026-11-26 2026-11-27[/]
    """
    wanted = [_day(day) for day in days or []]
    with existing_store(load_settings()) as store:
        if not wanted:
            with store.transaction() as connection:
                wanted = [changed.day for changed in changed_days(connection)]
        reports = _build(store, wanted, is_whole=bool(days))
        with store.transaction() as connection:
            pending = pending_events(connection)
    if as_json:
        print_json(
            [
                {
                    "day": report.day,
                    "sessions": report.sessions,
                    "events": report.events,
                    "signals": dict(report.signals),
                    "seconds": round(report.seconds, 3),
                }
                for report in reports
            ]
        )
        return
    for report in sorted(reports, key=lambda report: report.day):
        out.print(
            f"{report.day}: {counted(report.sessions, 'session')} of "
            f"{counted(report.events, 'event')} in "
            f"{report.seconds:.1f} s",
            highlight=False,
        )
    if not reports and not pending:
        out.print("The sessions of every day are built.")
    if pending:
        out.print(
            f"{counted(pending, 'event')} pending: in no session before enriched; "
            f"see: {command('status')}",
            highlight=False,
            soft_wrap=True,
        )


def _build(store: Store, days: Sequence[date], *, is_whole: bool) -> list[DayReport]:
    reports: list[DayReport] = []
    with _progress() as progress:
        task = progress.add_task("days", total=len(days), sessions="")

        def show(report: DayReport) -> None:
            sessions = sum(one.sessions for one in reports) + report.sessions
            progress.update(task, sessions=counted(sessions, "session"))

        for day in days:
            report = build_day(store, day, is_whole=is_whole, on_progress=show)
            show(report)
            reports.append(report)
            progress.update(task, advance=1)
    return reports


def _day(written: str) -> date:
    try:
        return date.fromisoformat(written)
    except ValueError:
        fail(f"{written!r} is no day, such as 2026-11-27")


def _progress() -> Progress:
    return Progress(
        TextColumn("building sessions"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("days, {task.fields[sessions]}"),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )
