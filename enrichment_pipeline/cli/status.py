"""`enrichment-pipeline status`: the books."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from enrichment_pipeline.cli.console import fail, out, print_json, print_table, say
from enrichment_pipeline.settings import load_settings
from enrichment_pipeline.store.database.engine import existing_store
from enrichment_pipeline.store.windows.books import WindowBooks, books, counted_books
from enrichment_pipeline.wording import command, counted

_SHOWN = 24


def status(
    every: Annotated[bool, typer.Option("--all", help="Every window, not only the last.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Count the rows themselves; takes longer.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show event counts for each window (the books): accepted = enriched + dead + pending.

    Ends with 1 where the books do not balance.

    Example: [bold]enrichment-pipeline status --verify[/]
    """
    with existing_store(load_settings()) as store, store.snapshot() as connection:
        windows = books(connection)
        if verify:
            starts = [window.window_start for window in windows]
            windows = counted_books(connection, starts, store.window)
    shown = windows if every else windows[-_SHOWN:]
    total = _total(windows)
    if as_json:
        print_json(
            {
                "first_window": windows[0].window_start if windows else None,
                "total": _figures(total),
                "windows": [{"window": w.window_start, **_figures(w)} for w in shown],
            }
        )
    else:
        _print(shown, total, len(windows))
        if verify and windows:
            out.print("Counted row by row.")
    wrong = [window for window in windows if not window.balances]
    if wrong:
        fail(
            f"the books of {counted(len(wrong), 'window')} do not balance, the first is "
            f"{wrong[0].window_start:%Y-%m-%d %H:%M}"
        )


def _figures(window: WindowBooks) -> dict[str, int | bool]:
    return {
        "accepted": window.accepted,
        "enriched": window.enriched,
        "dead": window.dead,
        "pending": window.pending,
        "balances": window.balances,
    }


def _total(windows: list[WindowBooks]) -> WindowBooks:
    return WindowBooks(
        datetime.now(UTC),
        accepted=sum(window.accepted for window in windows),
        enriched=sum(window.enriched for window in windows),
        dead=sum(window.dead for window in windows),
        pending=sum(window.pending for window in windows),
    )


def _print(shown: list[WindowBooks], total: WindowBooks, count: int) -> None:
    if not count:
        say(f"No events yet. Try: {command('import FILE')}")
        return
    figures = ("accepted", "enriched", "dead", "pending")
    rows: list[tuple[object, ...]] = [
        (f"{window.window_start:%Y-%m-%d %H:%M}", *(getattr(window, name) for name in figures))
        for window in shown
    ]
    rows.append((f"all {counted(count, 'window')}", *(getattr(total, name) for name in figures)))
    print_table(("window (UTC)", *figures), rows)
