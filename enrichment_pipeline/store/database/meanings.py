"""What each column of each table means, in words for those who query the store.

Types, keys and the meaning of whole tables belong to `tables`. `make reference` makes a page of
both, and a test holds that no column is missing here.
"""

from collections.abc import Mapping

_PROJECT = "the project that it belongs to"
_OCCURRED_AT = "the event's own time, by a corrected clock; the day of its partition"
_UUID = "its id: the one that was sent, or one that we made"
_DISTINCT_ID = "who did it, as the client names them"
_SESSION_ID = "the `$session_id`; NULL: none was sent"
_DEVICE = "browser and system, such as `Safari on iPhone`"
_PATH = "the path of the page, as it was"
_TITLE = "the title of the page, as it was"
_TAB = "a number that stands for the tab of the browser"
_PROPERTIES = (
    "the properties whose names do not begin with `$`, as they came: texts of at most 1,000 "
    "characters, 8 KB in all; and `$time_is_arrival`. NULL: none"
)
_BATCH_ID = "the batch that brought it in, a row of `raw_batch`"
_WINDOW_START = "the beginning of its window, UTC"
_ELEMENT_TAG = "the HTML tag of what was touched"
_TEMPLATE = "the path with its ids taken out: `/users/:id`"

MEANINGS: Mapping[str, Mapping[str, str]] = {
    "raw_batch": {
        "id": "its number, in the order of the commits",
        "window_start": "the beginning of the window of all its events, UTC",
        "source": "the way in: `api`, `webhook`, `import`, `folder` or `query_api`",
        "state": "`pending`: to be enriched from `due_at` on; `enriched`: finished; `dead`: not "
        "tried again automatically",
        "event_count": "accepted events: enriched + dead + pending",
        "enriched_count": "those with a row in `enriched_event`",
        "dead_count": "those in the dead letters",
        "attempts": "how often it failed as a whole; the fourth time makes it dead",
        "historical": "whether it is of a migration of old events, which waits for live ones",
        "due_at": "from when on it may be enriched: a batch that failed waits",
        "last_error": "why it failed last; NULL: it never did",
        "created_at": "when it was committed",
        "finished_at": "when it became enriched or dead; NULL: it is pending",
    },
    "event_key": {
        "project": _PROJECT,
        "uuid": "the id of an event that was accepted",
        "batch_id": _BATCH_ID,
    },
    "raw_event": {
        "batch_id": _BATCH_ID,
        "project": _PROJECT,
        "uuid": _UUID,
        "occurred_at": _OCCURRED_AT,
        "event": "its name",
        "distinct_id": _DISTINCT_ID,
        "session_id": _SESSION_ID,
        "path": _PATH,
        "title": _TITLE,
        "properties": _PROPERTIES,
        "input_key": "the key of its action input, a row of `enrichment_input`",
        "payload": "the exact text as it came, compressed; `enrichment-pipeline show` reads it",
        "detail": "the part of the sentence that differs from event to event, masked: `sku=1`",
        "device": _DEVICE,
        "tab": _TAB,
    },
    "enrichment_input": {
        "input_key": "a hash of the other columns",
        "event": "the name of the events",
        "sub_type": "their `$event_type`: click, submit, change, …",
        "path_template": _TEMPLATE,
        "elements_chain": "what was touched and what it lies in, as posthog-js writes it",
        "element_text": "the text of what was touched",
        "unmasked": "the kinds of private data that the project lets models see; NULL: none",
    },
    "enrichment_output": {
        "version": "the rules version that said so",
        "input_key": "the action input that it was said of",
        "event_type": "what it is",
        "action_type": "what the user did",
        "path_template": _TEMPLATE,
        "element_tag": _ELEMENT_TAG,
        "element_label": "what a person calls what was touched",
        "description": "the sentence, without the detail",
        "touch": "which control it was and what was done to it, for signals",
    },
    "enriched_event": {
        "occurred_at": _OCCURRED_AT,
        "uuid": _UUID,
        "project": _PROJECT,
        "batch_id": _BATCH_ID,
        "event": "its name, as it came",
        "event_type": "what it is: pageview, click, navigation, custom, unknown, or a word of "
        "your rules",
        "action_type": "what the user did: view, click, submit, change, navigate, leave, "
        "rage_click, unknown, or a word of your rules",
        "distinct_id": _DISTINCT_ID,
        "session_id": _SESSION_ID,
        "path": _PATH,
        "path_template": _TEMPLATE,
        "title": _TITLE,
        "element_tag": _ELEMENT_TAG,
        "element_label": "what a person calls what was touched, as it was",
        "description": "the sentence, at most 120 characters, masked",
        "properties": _PROPERTIES,
        "rules_version": "a hash of the rules that it was enriched by",
        "enriched_at": "when the row was written",
        "device": _DEVICE,
        "touch": "which control it was and what was done to it, for signals",
        "tab": _TAB,
    },
    "dead_letter": {
        "id": "its number, which the commands take",
        "kind": "`event`: one event; `batch`: a batch that kept failing",
        "state": "`open`, `replaying`, `resolved`, `discarded`, or `parked`: exhausted, its "
        "replays are used up",
        "batch_id": "the batch in whose books it counts",
        "window_start": _WINDOW_START,
        "event_count": "how many events it stands for",
        "source": "the way in, as in `raw_batch`",
        "project": f"{_PROJECT}; NULL: that cannot be read",
        "event": "the name of the event, where it can be read",
        "reason_code": "why, as a code; [Reasons](reasons.md)",
        "message": "why, in words; may quote the event",
        "traceback": "where our code failed; NULL: it did not",
        "attempts": "the failures of its batch, for a letter of a batch",
        "rules_version": "the rules under which it failed",
        "first_failed_at": "when it failed first: for an event refused at ingestion, its arrival",
        "last_failed_at": "when it failed last",
        "payload": "the exact text as it came, compressed; NULL: it is in `raw_event`",
        "sent_at": "when it was sent, by the sender's clock; a replay needs it",
        "uuid": "the event in `raw_event`; NULL: refused at ingestion, or a batch",
        "occurred_at": "the own time of the event in `raw_event`",
        "distinct_id": "who did it, where that can be read; `forget` finds it so",
        "worker": "where it failed last: a run of Dagster, a worker, a command",
        "replays": "how many replays failed; two exhaust it",
        "closed_at": "when it was resolved or discarded",
        "closing_note": "how it was resolved, or why it was discarded",
    },
    "heartbeat": {
        "name": "the sensor, or another part that must not stop",
        "seen_at": "when it was last seen",
    },
    "failure": {
        "kind": "what kind of thing failed: a run, a check, a sensor, the file of rules",
        "subject": "which one: the asset or job, the check, the sensor, the file",
        "part": "the partition of the subject; empty: it has none",
        "since": "since when it has failed",
        "failed_at": "when it failed last",
        "message": "why, without any content of an event",
        "run_id": "Dagster's newest run that failed; NULL: it was no run",
        "event_id": "its place in Dagster's event log: only what stands later can heal it",
    },
    "alert": {
        "key": "what it is about, the same from the first message to the all-clear",
        "kind": "one of the [kinds](alerts.md)",
        "state": "`open` or `closed`",
        "facts": "the facts of the last message",
        "since": "since when it is so",
        "told_at": "when people were last notified",
        "told_count": "the count in the last message: it is repeated when that has grown",
        "closed_at": "when it ended; NULL: it is open",
    },
    "alert_message": {
        "id": "its number, in the order in which messages are delivered",
        "alert_key": "the alert, a row of `alert`",
        "channel": "where it goes: the scheme and a piece of a hash",
        "message": "the message, as the webhook gets it",
        "created_at": "when it was written",
        "due_at": "when it is tried next",
        "attempts": "how often it was tried",
        "delivered_at": "when it arrived; NULL: not yet",
        "last_error": "why it did not arrive the last time",
    },
    "forgotten": {
        "id": "its number",
        "forgotten_at": "when the person was forgotten",
        "project": _PROJECT,
        "person": "a keyed hash of project and distinct_id, which reveals neither",
        "window_start": "the window that lost events",
        "enriched": "how many enriched events went",
        "dead": "how many dead ones went",
        "pending": "how many went before they were enriched",
    },
    "enriched_change": {
        "id": "its number",
        "consumer": "who has not seen it: `windows`, `dead_letters` or `sessions`",
        "window_start": "the window that changed",
        "batch_ids": "the batches that changed; NULL: all of the window",
        "changed_at": "when it changed",
    },
    "store_setting": {
        "name": "the name of the setting: `window_minutes`",
        "value": "its value",
    },
    "store_secret": {
        "name": "which key: of pseudonyms, or of forgotten persons",
        "value": "the key",
    },
    "pulled_file": {
        "url": "the file",
        "version": "its checksum, or else size and time of change: another one is read again",
        "pulled_at": "when it had been read to its end",
        "accepted": "events that were new",
        "duplicates": "events that were known",
        "quarantined": "events that became dead letters",
    },
    "pull_position": {
        "source": "the address of PostHog and its project",
        "window_start": _WINDOW_START,
        "began_at": "when the window was last read from its start",
        "after_timestamp": "the time of the last event that is in the store; NULL: none yet",
        "after_uuid": "the id of that event: those of one time are read in the order of ids",
        "finished_at": "when the window, after its end, had been read completely",
        "events_read": "events read since it was last read from its start",
        "events_counted": "PostHog's own count of the complete window; NULL: not counted",
    },
    "person": {
        "project": _PROJECT,
        "distinct_id": "one of the person's ids",
        "person_id": "the same for all ids of one person",
        "is_identified": "whether they were identified: two such people are joined only by "
        "`$merge_dangerously`",
        "joined_at": "when the id was joined to the person",
    },
    "session_timeline": {
        "project": _PROJECT,
        "session_id": "the `$session_id`, or an id that we made of a person's events",
        "day": "the UTC day on which it began",
        "distinct_id": "who did the last event; `person` says who that is",
        "started_at": "the time of its first event",
        "ended_at": "the time of its last event",
        "events": "how many events it has",
        "pages": "how many different pages it has",
        "entry": "the template of its first page; NULL: it has no page",
        "exit": "the template of its last page",
        "device": _DEVICE,
        "outline": "one line that sums it up, masked",
        "signals": "its kinds of signals: `rage_click`, `dead_click`, `error`, `form_not_sent`, "
        "`back_and_forth`",
        "timeline": "the timeline as text, masked",
        "built_at": "when the row was written",
        "number": "its short name without the letter: 12 is `s12`",
        "others": "a distinct_id of each other person in it; NULL: nobody else",
        "signal_pages": "its signals with their pages: `rage_click on /checkout`",
    },
}
"""By table and column, as clauses without a full stop; Markdown."""
