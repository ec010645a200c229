"""The store that does not answer, as one process knows it."""

from datetime import UTC, datetime, timedelta

from enrichment_pipeline.alerts.decisions import LASTING, Stage
from enrichment_pipeline.alerts.outage import PATIENCE, Outage

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_a_hiccup_is_no_alert() -> None:
    outage = Outage()
    for begin in (NOON, NOON + PATIENCE):
        outage.asked(begin)
        outage.failed("connection refused")
        outage.asked(begin + PATIENCE / 2)
        assert outage.to_notify(begin + PATIENCE) is None
        assert outage.answered() is None


def test_a_store_that_nobody_asks_is_not_down() -> None:
    outage = Outage()
    outage.asked(NOON)
    assert outage.answered() is None
    assert outage.to_notify(NOON + 10 * PATIENCE) is None


def test_an_outage_is_notified_once_again_when_it_lasts_and_closed() -> None:
    outage = Outage()
    outage.asked(NOON)
    outage.failed("connection refused")
    outage.asked(NOON + SECOND)
    begin = NOON + PATIENCE + SECOND
    notice = outage.to_notify(begin)
    assert notice
    assert (notice.stage, notice.condition.since) == (Stage.OPENED, NOON)
    assert notice.condition.facts == {"error": "connection refused"}
    assert outage.to_notify(begin + LASTING - SECOND) is None
    again = outage.to_notify(begin + LASTING)
    assert again
    assert (again.stage, again.condition.since) == (Stage.LASTS, NOON)
    assert outage.to_notify(begin + LASTING + SECOND) is None
    over = outage.answered()
    assert over
    assert (over.stage, over.condition.since) == (Stage.CLOSED, NOON)


def test_the_all_clear_is_sent_until_it_is_kept() -> None:
    outage = Outage()
    outage.asked(NOON)
    assert outage.to_notify(NOON + 2 * PATIENCE)
    assert outage.is_notified
    assert outage.answered()
    assert outage.answered()
    outage.all_clear_is_kept()
    assert not outage.is_notified
    assert outage.answered() is None


def test_a_store_that_says_nothing_at_all_is_an_outage_too() -> None:
    outage = Outage()
    outage.asked(NOON)
    notice = outage.to_notify(NOON + 2 * PATIENCE)
    assert notice
    assert notice.condition.facts == {"error": "no answer"}
