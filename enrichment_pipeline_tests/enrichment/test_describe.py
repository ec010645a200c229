"""The sentences, and the policy of attempts."""

from datetime import timedelta

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrichment_pipeline.classification import Rules, load_rules
from enrichment_pipeline.enrichment.attempts import (
    MAX_RETRIES,
    is_last,
    spends_attempt,
    wait_before_retry,
)
from enrichment_pipeline.enrichment.derive import derive
from enrichment_pipeline.enrichment.describe import MAX_LENGTH
from enrichment_pipeline.events.inputs import EnrichmentInput
from enrichment_pipeline.store.errors import StoreUnavailableError

BUTTON = 'button:text="Buy now"'


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        (EnrichmentInput("$pageview", None, "/pricing", None, None), "Viewed /pricing"),
        (EnrichmentInput("$pageleave", None, "/pricing", None, None), "Left /pricing"),
        (EnrichmentInput("$pageview", None, None, None, None), "Viewed a page"),
        (
            EnrichmentInput("$autocapture", "click", "/pricing", BUTTON, None),
            'Clicked button "Buy now" on /pricing',
        ),
        (
            EnrichmentInput("$rageclick", None, "/checkout", None, "Pay"),
            'Rage-clicked "Pay" on /checkout',
        ),
        (
            EnrichmentInput("$autocapture", "change", "/signup", 'select:attr__name="plan"', None),
            'Changed select "plan" on /signup',
        ),
        (
            EnrichmentInput("$autocapture", "submit", "/signup", 'form:attr__name="signup"', None),
            'Submitted form "signup" on /signup',
        ),
        (EnrichmentInput("$autocapture", "click", None, None, None), "Clicked an element"),
        (EnrichmentInput("product_clicked", None, "/p", None, None), "product clicked on /p"),
        (EnrichmentInput("$web_vitals", None, "/p", None, None), "Had page speed measured on /p"),
    ],
)
def test_an_event_is_told_in_one_plain_sentence(
    rules: Rules, inputs: EnrichmentInput, sentence: str
) -> None:
    assert derive(inputs, rules).description == sentence


texts = st.none() | st.text()


@given(
    st.builds(
        EnrichmentInput,
        st.sampled_from(["$autocapture", "$pageview"]) | st.text(),
        texts,
        texts,
        texts,
        texts,
    )
)
def test_every_input_gives_a_sentence_that_is_not_too_long(inputs: EnrichmentInput) -> None:
    assert len(derive(inputs, load_rules()).description) <= MAX_LENGTH


def test_only_data_and_code_spend_attempts() -> None:
    assert spends_attempt(ZeroDivisionError())
    assert spends_attempt(psycopg.errors.UniqueViolation())
    for outage in (
        psycopg.errors.AdminShutdown(),
        psycopg.errors.DiskFull(),
        psycopg.errors.LockNotAvailable(),
        psycopg.OperationalError("connection refused"),
        StoreUnavailableError("gone"),
    ):
        assert not spends_attempt(outage)


def test_a_batch_waits_longer_each_time_and_dies_after_three_retries() -> None:
    waits = [wait_before_retry(attempts) for attempts in range(MAX_RETRIES)]
    for attempts, wait in enumerate(waits):
        assert timedelta(seconds=2 * 2**attempts) <= wait <= timedelta(seconds=2.5 * 2**attempts)
    assert [is_last(attempts) for attempts in range(5)] == [False, False, False, True, True]
