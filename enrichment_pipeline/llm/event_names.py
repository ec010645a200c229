"""What the name that a site gave to an event says: that something went wrong, or was sent.

Pure; by whole words, in whatever spelling (`paymentFailed`, `Payment Failed`, `payment_failed`).
"""

from collections.abc import Sequence
from functools import lru_cache

from enrichment_pipeline.events.words import words_of


def _set(*words: str) -> frozenset[str]:
    return frozenset(" ".join(words).split())


_FAILURES = _set(
    "error errors exception exceptions fail fails failed failing failure failures crash crashed",
    "crashes denied rejected timeout timeouts invalid unauthorized forbidden unauthorised",
    "unavailable refused aborted errored panic",
)
_FAILED_PAIRS = frozenset(
    {
        *(("timed", "out"), ("time", "out"), ("not", "found"), ("not", "available")),
        *(("could", "not"), ("did", "not"), ("not", "supported"), ("not", "work")),
        *(("unable", "to"), ("went", "wrong"), ("out", "memory")),
    }
)
# A payment is declined by the bank; an offer, a cookie or a call by the user.
_DECLINED = _set("declined")
_MONEY = _set("payment card charge transaction credit bank loan purchase order checkout coupon")
# What the user allows, takes or leaves: denying it is deliberate.
_OFFERED = _set(
    "cookie cookies consent consents permission permissions notification notifications tracking",
    "location camera microphone geolocation gdpr offer offers invite invitation suggestion",
    "suggestions recommendation call friend all banner popup prompt upsell survey terms analytics",
)
_DELIBERATE = _set("denied rejected refused aborted")
_NONE = _set("no not 0 zero without never non free anti un avoid avoided prevent prevented fake")
# Compounds that are no failure: a crash course, an error log that somebody reads.
_THINGS = _set(
    "course courses test tests testing dummy pad landing diet game over safe proof free less",
    "log logs rate rates report reports reporting tracking tracker tab list lists settings budget",
    "chart dashboard filter filters handling handler correction analysis history monitor",
    "monitoring docs documentation guide rule rules policy setting template templates analytics",
    "traffic alert alerts webhook search logger prone bars bar margin guidelines queue",
)
_SEEN = _set("message dialog toast modal page screen banner code popup notice notification state")
# What a user does with something that failed before.
_DEALT_WITH = _set(
    "resolved fixed dismissed cleared recovered handled ignored acknowledged retried closed",
    "solved corrected suppressed archived reported exported filtered downloaded deleted",
    "simulated tested",
)
_DOES = _set(
    "view viewed open opened click clicked filter export select selected hide toggle search enable",
    "disable report dismiss close clear download browse see read learn create created handle",
    "simulate show list retry",
)


@lru_cache(maxsize=8_192)
def is_error(event: str) -> bool:
    """Whether the name of an event says that something went wrong."""
    if event == "$exception":
        return True
    words = words_of(event)
    at = next((at for at in range(len(words)) if _fails(words, at)), None)
    return at is not None and not _is_harmless(words, at)


def _fails(words: Sequence[str], at: int) -> bool:
    word = words[at]
    if word in _DECLINED:
        return not _MONEY.isdisjoint(words)
    if word in _DELIBERATE and not _OFFERED.isdisjoint(words):
        return False
    return word in _FAILURES or tuple(words[at : at + 2]) in _FAILED_PAIRS


def _is_harmless(words: Sequence[str], at: int) -> bool:
    before, after = words[:at], words[at + 1 :]
    if before and (before[-1] in _NONE or before[0] in _DOES):
        return True
    if not after:
        return False
    if after[0] in _THINGS or (after[0] == "of" and "margin" in before):
        return True
    # The last word says what was done; a message is seen because something fails.
    return after[-1] in _DEALT_WITH or (after[-1] in _DOES and after[0] in _THINGS)


_SENT = _set(
    "sent paid placed booked reserved subscribed registered saved posted published confirmed",
    "joined ordered bought signup donated applied requested updated created uploaded",
)
_SENT_STEMS = ("submit", "complet", "finish", "purchas")
_SENT_PAIRS = frozenset(
    {("signed", "up"), ("signed", "in"), ("logged", "in"), ("checked", "out"), ("log", "in")}
)
_NOT_YET = (
    *("start", "begin", "began", "view", "open", "click", "abandon", "cancel", "intent"),
    *("seen", "shown", "show", "hover", "impression"),
)


@lru_cache(maxsize=8_192)
def is_sent(event: str) -> bool:
    """Whether the name of an event says that something was sent or done."""
    words = words_of(event)
    if any(word.startswith(_NOT_YET) for word in words) or is_error(event):
        return False
    return any(
        word in _SENT or word.startswith(_SENT_STEMS) or tuple(words[at : at + 2]) in _SENT_PAIRS
        for at, word in enumerate(words)
    )


_PRESSED = ("click", "tap", "press", "button", "cta")


@lru_cache(maxsize=8_192)
def is_of_a_click(event: str) -> bool:
    """Whether the name of an event says no more than that something was clicked."""
    return any(word.startswith(_PRESSED) for word in words_of(event))
