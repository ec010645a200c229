"""The errors of a pull, one class for each remedy: waiting, or a person."""


class PullError(Exception):
    """A source cannot be pulled from now. Earlier pages are in the store, and the next pull goes on
    behind them; the message is one line."""


class PullAwayError(PullError):
    """PostHog cannot be reached, or refuses every request for now."""


class PullThrottledError(PullError):
    """PostHog asks for a pause longer than is worth waiting for within a pull."""


class PullRefusedError(PullError):
    """A source cannot be pulled from until somebody changes something; the message says what."""
