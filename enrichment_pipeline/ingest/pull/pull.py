"""The pull: events from the sources that the settings name, for some windows.

This module decides which windows to pull, and keeps how far each is; the sources themselves belong
to `folder` and `query_api`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from enrichment_pipeline.events.times import window_start
from enrichment_pipeline.ingest.chunks import ImportSummary, load_chunk
from enrichment_pipeline.ingest.projects import PROJECT, PROJECT_RULE
from enrichment_pipeline.ingest.pull.errors import (
    PullAwayError,
    PullError,
    PullRefusedError,
    PullThrottledError,
)
from enrichment_pipeline.ingest.pull.folder import FolderReport, Progress, pull_folder
from enrichment_pipeline.ingest.pull.query_api import SOURCE, QueryApi, project_url
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.pulled import (
    WindowPosition,
    claimed,
    first_unsettled,
    keep_position,
    window_position,
)
from enrichment_pipeline.wording import counted

LATE = timedelta(minutes=15)
"""How long after a window PostHog may take to have its events; it is read once more then."""

MOST_DUE = 24
"""The most windows due at once, so that after a long silence each pull makes progress."""


@dataclass
class PullReport:
    """What a pull did, and of what kind."""

    folder: FolderReport = field(default_factory=FolderReport)
    windows: dict[datetime, ImportSummary] = field(default_factory=dict)
    """The summary of each window that was pulled to its end from the query API."""
    differences: dict[datetime, tuple[int, int]] = field(default_factory=dict)
    """Windows where the number of events read (the first) differs from PostHog's own count."""
    busy: list[datetime] = field(default_factory=list)
    """Windows that another pull has claimed."""
    summary: ImportSummary = field(default_factory=ImportSummary)
    """The sum over all sources, including windows that were not read to their end."""

    def difference_lines(self) -> list[str]:
        """A line for each window that differs from PostHog's count."""
        return [
            f"{window:%Y-%m-%d %H:%M}: PostHog counts {counted(there, 'event')}, {read:,} could be "
            "read"
            for window, (read, there) in sorted(self.differences.items())
        ]


def pull(
    store: Store,
    settings: Settings,
    windows: Sequence[datetime],
    *,
    again_before: datetime | None = None,
    report: PullReport | None = None,
    on_progress: Progress | None = None,
) -> PullReport:
    """Pull from every source that the settings name: new files of the folder, and the events of
    these windows from the query API. Adds to `report`, which it returns.

    A partly pulled window is continued. A window that was read to its end is read from its start
    once more when it has been over for `LATE`, which adds what came late; with `again_before`, also
    where its reading began before that time.

    Raises:
        PullRefusedError: no source is set, or a source refuses its settings.
        PullError: a source does not respond; what was pulled before is in the store.
    """
    report = report or PullReport()
    if not settings.pulls:
        raise PullRefusedError(
            "no source to pull from: set ENRICHMENT_PULL_FOLDER or the ENRICHMENT_POSTHOG_*"
        )
    if not PROJECT.fullmatch(settings.pull_project):
        raise PullRefusedError(
            f"ENRICHMENT_PULL_PROJECT={settings.pull_project!r}: a project {PROJECT_RULE}"
        )
    failures: list[PullError] = []
    # One source that fails does not keep the other from being pulled.
    for pull_source in (_pull_folder, _pull_query_api):
        try:
            pull_source(store, settings, _Asked(windows, again_before, report, on_progress))
        except PullError as error:
            failures.append(error)
    if failures:
        raise failures[0]
    return report


class _Asked(NamedTuple):
    """The arguments of a pull, and where it reports its progress."""

    windows: Sequence[datetime]
    again_before: datetime | None
    report: PullReport
    on_progress: Progress | None


def _pull_folder(store: Store, settings: Settings, asked: _Asked) -> None:
    if settings.pull_folder is None:
        return
    folder, project, report = settings.pull_folder, settings.pull_project, asked.report
    try:
        pull_folder(store, folder, project, report.folder, asked.on_progress)
    finally:
        report.summary.add(report.folder.summary)


def _pull_query_api(store: Store, settings: Settings, asked: _Asked) -> None:
    if settings.posthog_url is None:
        return
    failures: list[PullError] = []
    with QueryApi(settings) as api:
        for window in sorted(asked.windows):
            try:
                _WindowPull(store, api, settings.pull_project, window, asked).pull()
            except (PullAwayError, PullRefusedError, PullThrottledError):
                raise
            except PullError as error:
                # A window for which PostHog never responds does not stop the others.
                failures.append(error)
    if failures:
        raise failures[0]


@dataclass
class _WindowPull:
    """The pull of one window from the query API."""

    store: Store
    api: QueryApi
    project: str
    start: datetime
    asked: _Asked

    def pull(self) -> None:
        with claimed(self.store, f"{self.api.source} {self.start.isoformat()}") as ours:
            if not ours:
                self.asked.report.busy.append(self.start)
                return
            with self.store.transaction() as connection:
                known = window_position(connection, self.api.source, self.start)
            if known is None or (known.finished_at is None and known.after is None):
                now = datetime.now(UTC)
                # The window counts as begun from here: without a response it is due again, even if
                # later ones are complete meanwhile.
                self._keep(WindowPosition(now, None, None))
                self._pull_on(WindowPosition(now, None, None))
            elif known.finished_at is None:
                self._pull_on(known)
            elif self._may_have_more(known.began_at):
                self._pull_on(WindowPosition(datetime.now(UTC), None, None))

    def _may_have_more(self, began_at: datetime) -> bool:
        """Whether to read the window again although it was read to its end."""
        if self.asked.again_before is not None:
            return began_at < self.asked.again_before
        # Once, and not before late events have had time to reach PostHog.
        return began_at < self._end + LATE <= datetime.now(UTC)

    @property
    def _end(self) -> datetime:
        return self.start + self.store.window

    def _pull_on(self, position: WindowPosition) -> None:
        summary = ImportSummary()
        is_over = datetime.now(UTC) >= self._end
        position = self._read_on(position, summary)
        if is_over:
            if position.began_at >= self._end + LATE:
                position = self._counted(position, summary)
            self._keep(position._replace(finished_at=datetime.now(UTC)))
        self.asked.report.windows[self.start] = summary

    def _read_on(self, position: WindowPosition, summary: ImportSummary) -> WindowPosition:
        """Read behind the position until PostHog has no more. A page may have fewer events than
        were asked for, so only an empty page is the end."""
        while True:
            page = self.api.page(self.start, self._end, position.after)
            if page.last is None:
                return position
            loaded = load_chunk(self.store, page.records, self.project, SOURCE)
            summary.add(loaded)
            self.asked.report.summary.add(loaded)
            read = position.events_read + len(page.records)
            position = position._replace(after=page.last, events_read=read)
            self._keep(position)
            self._report(summary)

    def _counted(self, position: WindowPosition, summary: ImportSummary) -> WindowPosition:
        """The position with PostHog's own count. Where that differs, the window is read once more:
        events may have come or gone between reading and counting."""
        counted = self.api.count(self.start, self._end)
        if counted != position.events_read:
            again = WindowPosition(datetime.now(UTC), None, None)
            position = self._read_on(again, summary)
            counted = self.api.count(self.start, self._end)
        if counted != position.events_read:
            self.asked.report.differences[self.start] = (position.events_read, counted)
        return position._replace(events_counted=counted)

    def _keep(self, position: WindowPosition) -> None:
        with self.store.transaction() as connection:
            keep_position(connection, self.api.source, self.start, position)

    def _report(self, summary: ImportSummary) -> None:
        if self.asked.on_progress:
            seen = summary.accepted + summary.duplicates + summary.quarantined.total()
            self.asked.on_progress(f"{self.start:%Y-%m-%d %H:%M}", seen, None)


def windows_due(store: Store, settings: Settings, now: datetime) -> list[datetime]:
    """The windows that are due: of the last `MOST_DUE` those that were begun and are not complete,
    and all after the last complete one; at least the open window and the one before. An older
    window that was never completed must not keep all others waiting.

    Not more than `MOST_DUE`, the oldest first.
    """
    length = store.window
    open_window = window_start(now, length)
    first = open_window - length
    if settings.posthog_url:
        since = open_window - MOST_DUE * length
        with store.transaction() as connection:
            unsettled = first_unsettled(connection, project_url(settings), length + LATE, since)
        first = min(first, unsettled or first)
    count = (open_window - first) // length + 1
    return [first + number * length for number in range(min(count, MOST_DUE))]
