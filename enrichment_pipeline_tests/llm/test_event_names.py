"""What names of events say, and what they do not."""

import pytest

from enrichment_pipeline.llm.event_names import is_error, is_of_a_click, is_sent


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("$exception", True),
        ("payment_failed", True),
        ("paymentFailed", True),
        ("Checkout Error", True),
        ("APIError", True),
        ("errors_shown", True),
        ("upload.failure", True),
        ("app_crashed", True),
        ("card_declined", True),
        ("payment was declined", True),
        ("errorless_checkout", False),
        ("terror_film_played", False),
        ("failover", False),
        ("cookies_declined", False),
        ("offer_declined", False),
        ("$pageview", False),
        ("Fehler", False),
        ("Coupon Denied", True),
        ("request_timed_out", True),
        ("order_rejected", True),
        ("RequestTimeout", True),
        ("invalid_coupon", True),
        ("page_not_found", True),
        ("something went wrong", True),
        ("error_message_shown", True),
        ("permission_denied", False),
        ("crash_course_started", False),
        ("0 errors found", False),
        ("no_errors", False),
        ("error_log_opened", False),
        ("view_errors", False),
        ("error_resolved", False),
        ("trial_and_error_game", False),
        ("cookies_rejected", False),
        ("errorCorrectionEnabled", False),
    ],
)
def test_errors_are_known_by_their_names(name: str, expected: bool) -> None:
    assert is_error(name) is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("signup_completed", True),
        ("orderCompleted", True),
        ("Order Placed", True),
        ("message_sent", True),
        ("booking confirmed", True),
        ("purchased", True),
        ("purchase_started", False),
        ("checkout_abandoned", False),
        ("submit_button_clicked", False),
        ("submit_failed", False),
        ("sentiment_seen", False),
        ("product_viewed", False),
    ],
)
def test_what_was_sent_is_known_by_its_name(name: str, expected: bool) -> None:
    assert is_sent(name) is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("cta_clicked", True), ("ButtonTapped", True), ("link_copied", False), ("stapled", False)],
)
def test_what_only_reports_a_click_is_known_by_its_name(name: str, expected: bool) -> None:
    assert is_of_a_click(name) is expected
