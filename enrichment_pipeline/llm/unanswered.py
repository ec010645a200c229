"""Why a question is not answered: one sentence, for models and for people."""

from typing import NamedTuple

from sqlalchemy.exc import DBAPIError

from enrichment_pipeline.llm.sessions import SessionNotFoundError
from enrichment_pipeline.store.database.errors import (
    StoreUnavailableError,
    blames_data,
    first_line,
    is_store_failure,
)
from enrichment_pipeline.store.reading.as_reader import took_too_long
from enrichment_pipeline.wording import UserError

NARROWER = "narrow it: less time (start, end), a project, fewer rows"
"""What helps where an answer takes too long."""

_AWAY = "the store does not answer; try again in a minute"


class Unanswered(NamedTuple):
    """Why there is no answer."""

    status: int
    """Of HTTP."""
    why: str


def unanswered(error: UserError | DBAPIError, what: str, seconds: int) -> Unanswered | None:
    """Why `what` was not answered, a statement being cancelled after so many seconds; None: the
    code is at fault."""
    if isinstance(error, SessionNotFoundError):
        return Unanswered(404, str(error))
    if isinstance(error, StoreUnavailableError):
        return Unanswered(503, _AWAY)
    if isinstance(error, UserError):
        return Unanswered(400, str(error))
    if took_too_long(error):
        return Unanswered(503, f"{what} took longer than {seconds} s in the store; {NARROWER}")
    if is_store_failure(error):
        return Unanswered(503, _AWAY)
    if blames_data(error):
        return Unanswered(400, f"the store cannot take that: {first_line(error)}")
    return None
