"""The wording of messages, and their form as JSON, which docs/how-to/alerts.md describes."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from enrichment_pipeline.alerts.conditions import Condition, Kind, minute
from enrichment_pipeline.alerts.decisions import Notice, Stage, last_notified
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.monitoring.alerts import Alert
from enrichment_pipeline.wording import command, counted

_VERSION = 1
_TEST = "test"


@dataclass(frozen=True)
class Message:
    """A message: plain words for people, fields for programs."""

    status: str
    """open, closed or test."""
    why: str
    """opened, grew, lasts, closed or test."""
    kind: str
    key: str
    title: str
    text: str
    count: int
    since: str
    """ISO 8601, as all times."""
    at: str
    commands: Sequence[str] = ()
    """The commands to run, the most likely one first."""
    link: str | None = None
    """The page of Dagster's UI to open."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    """The same for every delivery attempt and every channel."""
    version: int = _VERSION

    def as_json(self) -> dict[str, Any]:
        """The JSON that a webhook receives."""
        return {"version": self.version, "id": self.id, **asdict(self)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Message":
        """The message that `as_json` wrote."""
        return cls(**fields)

    @property
    def body(self) -> str:
        """The whole text for people: the situation, and what to do."""
        todo = [f"    {command}" for command in self.commands]
        return "\n".join([self.text, *todo, *([self.link] if self.link else [])])


class _Words(NamedTuple):
    what: str
    """Used in the title."""
    text: str
    over: str
    """The text when it is over."""
    commands: Sequence[str]
    page: str | None
    """Path in Dagster's UI."""


def compose(notice: Notice, settings: Settings, now: datetime) -> Message:
    """The message for this decision."""
    stage, condition = notice
    words = _WORDS[condition.kind](condition)
    lasted = now - condition.since
    if stage is Stage.CLOSED:
        title = f"All clear: {words.over}"
        text = f"{words.over}. It began at {_moment(condition.since)}, {_length(lasted)} ago."
    else:
        title = words.what + _TITLE_ENDS[stage].format(length=_length(lasted))
        text = words.text
    is_over = stage is Stage.CLOSED
    return Message(
        status="closed" if is_over else "open",
        why=str(stage),
        kind=str(condition.kind),
        key=condition.key,
        title=title,
        text=text,
        count=condition.count,
        since=condition.since.astimezone(UTC).isoformat(),
        at=now.astimezone(UTC).isoformat(),
        commands=() if is_over else words.commands,
        link=None if is_over or words.page is None else _ui(settings) + words.page,
        facts=condition.facts,
    )


def title_of(alert: Alert) -> str:
    """What the alert is about, in a few words."""
    return _WORDS[Kind(alert.kind)](last_notified(alert)).what


_TITLE_ENDS = {
    Stage.OPENED: "",
    Stage.GREW: " (it grew)",
    Stage.LASTS: " (for {length} now)",
}


def trial_message(now: datetime) -> Message:
    """A test message, which shows that messages arrive."""
    moment = now.astimezone(UTC).isoformat()
    return Message(
        status=_TEST,
        why=_TEST,
        kind=_TEST,
        key=_TEST,
        title="Test of the alerts",
        text="Alerts of the enrichment pipeline arrive here. Nothing is wrong.",
        count=0,
        since=moment,
        at=moment,
        commands=[command("alerts list")],
    )


def _dead_letters(condition: Condition) -> _Words:
    reason, window = condition.facts["reason"], _window_option(condition)
    letters, where = counted(condition.count, "dead letter"), _windows(condition)
    return _Words(
        what=f"{letters}: {reason}, {where}",
        text=f"{counted(condition.count, 'event')} of {where} could not be used: {reason}, "
        f"since {_moment(condition.since)}. Nothing tries again by itself.",
        over=f"no dead letter with {reason} is open for {where}",
        commands=[
            command(f"dead-letters list --reason {reason}{window}"),
            command(f"dead-letters replay --reason {reason}{window}"),
        ],
        page="/assets/dead_letter",
    )


def _failed_window(condition: Condition) -> _Words:
    facts, where = condition.facts, _windows(condition)
    return _Words(
        what=f"Failed: {where}",
        text=f"{counted(facts['events'], 'event')} in {counted(facts['batches'], 'batch')} of "
        f"{where} could not be enriched: {', '.join(facts['reasons'])}, since "
        f"{_moment(condition.since)}. Nothing tries again by itself.",
        over=f"nothing has failed in {where} any more",
        commands=[
            command("backfill --failed"),
            command(f"dead-letters list{_window_option(condition)}"),
        ],
        page="/assets/enriched_events?view=partitions",
    )


def _replays_exhausted(condition: Condition) -> _Words:
    reason = condition.facts["reason"]
    letters = counted(condition.count, "dead letter")
    return _Words(
        what=f"{letters} exhausted: {reason}",
        text=f"{letters} with {reason} of {_windows(condition)} failed again at each replay, and "
        f"{'is' if condition.count == 1 else 'are'} exhausted since {_moment(condition.since)}: "
        "put right what is wrong, then replay by id.",
        over=f"no dead letter with {reason} is exhausted",
        commands=[
            command(f"dead-letters list --state exhausted --reason {reason}"),
            command("dead-letters show ID"),
            command("dead-letters replay ID"),
        ],
        page="/assets/dead_letter",
    )


def _silent_ingest(condition: Condition) -> _Words:
    return _Words(
        what="No events arrive",
        text=f"The last event that came by itself was accepted at {_moment(condition.since)}. See "
        "whether the API can be reached from where events are sent, whether they are sent with a "
        "token that is valid, and whether the pull still runs.",
        over="events arrive again",
        commands=[command("status")],
        page=None,
    )


def _stalled_queue(condition: Condition) -> _Words:
    facts = condition.facts
    events = counted(facts["events"], "event")
    return _Words(
        what=f"{events} not enriched",
        text=f"{events} in {counted(facts['batches'], 'batch')} wait to be enriched, the oldest "
        f"since {_moment(condition.since)}. See whether runs fail, or whether none is started.",
        over="nothing waits long to be enriched",
        commands=[command("status")],
        page="/runs",
    )


def _sensor_stopped(condition: Condition) -> _Words:
    facts, name = condition.facts, condition.facts["sensor"]
    # An alert stored by an older version has no error.
    said = f" It fails with: {facts['error']}." if facts.get("error") else ""
    missed = "; without it no event is enriched" if name == "due_windows" else ""
    return _Words(
        what=f"Dagster's sensor {name} has stopped",
        text=f"It ticked last at {_moment(condition.since)} without an error{missed}.{said} "
        "See whether Dagster's daemon and its code server run, whether the sensor is switched "
        "on, and what its ticks say.",
        over=f"Dagster's sensor {name} ticks again",
        commands=[command("up")],
        page="/automation" if facts.get("error") else "/deployment/daemons",
    )


def _pull_difference(condition: Condition) -> _Words:
    facts = condition.facts
    first = facts["differences"][0]
    others = (
        f" (and {counted(facts['windows'] - 1, 'more window')})" if facts["windows"] > 1 else ""
    )
    what = f"{first['window'].replace('T', ' ')} UTC"
    return _Words(
        what=f"The pull of {what} has {counted(first['pulled'], 'event')}, PostHog counts "
        f"{first['posthog']:,}{others}",
        text=f"Of {_windows(condition)} PostHog counts {counted(condition.count, 'event')} more or "
        "fewer than could be read, twice in a row. Pull the window again; where the difference "
        "stays, compare with a batch export.",
        over="what was pulled is what PostHog counts",
        commands=[
            command(f"pull --from {one['window']} --to {_window_end(one['window'])}")
            for one in facts["differences"][:3]
        ],
        page="/assets/raw_events?view=partitions",
    )


def _window_end(window: str) -> str:
    """A time within the window; the pull always reads whole windows."""
    return minute(datetime.fromisoformat(window).replace(tzinfo=UTC) + timedelta(minutes=1))


def _failed_run(condition: Condition) -> _Words:
    facts, what = condition.facts, f"{condition.facts['subject']}{_parts(condition)}"
    return _Words(
        what=f"Failed: the run of {what}",
        text=f"Since {_moment(condition.since)} the run of {what} has failed, and no later one "
        f"has succeeded: {facts['error']}. The page of the run says where.",
        over=f"a later run of {facts['subject']} has succeeded",
        commands=[command(f"{_COMMANDS.get(facts['subject'], 'status')}")],
        page=f"/runs/{facts['run']}" if facts["run"] else "/runs",
    )


# The commands that do by hand what these jobs do.
_COMMANDS = {"pull": "pull", "raw_events": "pull", "session_timelines": "sessions build"}


def _failed_check(condition: Condition) -> _Words:
    facts, subject = condition.facts, condition.facts["subject"]
    asset, _, check = subject.rpartition("/")
    where = f"{check} of {asset}{_parts(condition)}"
    return _Words(
        what=f"Red: the check {where}",
        text=f"Since {_moment(condition.since)} the check {where} fails: {facts['error']}.",
        over=f"the check {check} of {asset} passes",
        commands=[command("status --verify")],
        page=f"/assets/{asset}?view=checks",
    )


def _broken_rules(condition: Condition) -> _Words:
    facts = condition.facts
    return _Words(
        what="The rules cannot be read",
        text=f"Since {_moment(condition.since)}: {facts['error']}. What is enriched meanwhile is "
        "under the rules that could be read last, or waits.",
        over="the rules can be read",
        commands=[command("rules check")],
        page=None,
    )


def _parts(condition: Condition) -> str:
    """The partitions concerned, if there are any."""
    facts = condition.facts
    if facts["parts"] == 1:
        return f" ({facts['first_part']})" if facts["first_part"] else ""
    return (
        f" ({counted(facts['parts'], 'partition')}, {facts['first_part']} to {facts['last_part']})"
    )


def _store_down(condition: Condition) -> _Words:
    return _Words(
        what="PostgreSQL does not answer",
        text=f"Since {_moment(condition.since)}: {condition.facts['error']}. Events are refused "
        "until it is back; their senders are asked to send them again.",
        over="PostgreSQL answers again",
        commands=[command("status")],
        page=None,
    )


_WORDS: Mapping[Kind, Callable[[Condition], _Words]] = {
    Kind.DEAD_LETTERS: _dead_letters,
    Kind.FAILED_WINDOW: _failed_window,
    Kind.REPLAYS_EXHAUSTED: _replays_exhausted,
    Kind.SILENT_INGEST: _silent_ingest,
    Kind.STALLED_QUEUE: _stalled_queue,
    Kind.SENSOR_STOPPED: _sensor_stopped,
    Kind.FAILED_RUN: _failed_run,
    Kind.FAILED_CHECK: _failed_check,
    Kind.BROKEN_RULES: _broken_rules,
    Kind.STORE_DOWN: _store_down,
    Kind.PULL_DIFFERENCE: _pull_difference,
}


def _windows(condition: Condition) -> str:
    facts = condition.facts
    first = f"{facts['first_window'].replace('T', ' ')} UTC"
    if facts["windows"] == 1:
        return f"the window {first}"
    last = f"{facts['last_window'].replace('T', ' ')} UTC"
    return f"{counted(facts['windows'], 'window')} from {first} to {last}"


def _window_option(condition: Condition) -> str:
    facts = condition.facts
    return f" --window {facts['first_window']}" if facts["windows"] == 1 else ""


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _length(length: timedelta) -> str:
    minutes = max(0, int(length.total_seconds() // 60))
    hours, days = minutes // 60, minutes // (24 * 60)
    if days >= 2:
        return counted(days, "day")
    return counted(hours, "hour") if hours >= 2 else counted(minutes, "minute")


def _ui(settings: Settings) -> str:
    if settings.ui_url:
        return settings.ui_url
    # An address that stands for all interfaces cannot be opened in a browser.
    host = "localhost" if settings.host in {"0.0.0.0", "::"} else settings.host  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.ui_port}"
