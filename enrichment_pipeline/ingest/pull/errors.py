"""How a pull fails, told apart by what helps: waiting, or a person."""


class PullError(Exception):
    """A source cannot be pulled from now. What came before is in the store, and the next pull goes
    on there; the message is one line."""


class PullAwayError(PullError):
    """PostHog cannot be reached, or lets nobody in for now, whatever it is asked for."""


class PullThrottledError(PullError):
    """PostHog asks for a pause longer than is worth waiting for within a pull."""


class PullRefusedError(PullError):
    """A source cannot be pulled from until somebody changes something; the message says what."""
