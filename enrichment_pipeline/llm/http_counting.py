"""`GET /v1/count`, `/v1/funnel`, `/v1/paths`, `/v1/compare` and `/v1/retention`: numbers, and the
sessions behind each.

What can be asked, and with what arguments, belongs to `counting`; how a route answers to
`http_answers`.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from enrichment_pipeline.events.masked import masked_line
from enrichment_pipeline.llm.counting import Counting
from enrichment_pipeline.llm.forms import Form
from enrichment_pipeline.llm.http_answers import Answering, Handler, Write
from enrichment_pipeline.llm.tables import Table
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.wording import UserError

_Question = Callable[..., Table]

# What is there several times has the name of one of it.
_SEVERAL = {"step": "steps"}


class _NothingElse(BaseModel):
    """Without a misspelt filter, an answer would be about everything."""

    model_config = ConfigDict(extra="forbid")


def counting_routes(store: Store, answering: Answering) -> Mapping[str, Handler]:
    """The routes that return numbers, by path."""
    questions = Counting(store).questions()
    return {f"/v1/{question.__name__}": _route(question, answering) for question in questions}


def _route(question: _Question, answering: Answering) -> Handler:
    arguments = _arguments(question)

    async def answer(request: Request) -> Response:
        return await answering.answer(
            request, partial(_ask, question, arguments, request.query_params)
        )

    return answer


def _ask(question: _Question, arguments: type[BaseModel], given: QueryParams) -> Write:
    try:
        asked = arguments.model_validate(_values(arguments, given))
    except ValidationError as error:
        raise UserError(_in_one_line(error, arguments)) from error
    return partial(_write, question(**dict(asked)))


def _write(found: Table, form: Form, _: int | None) -> str:
    return found.write(form)


def _arguments(question: _Question) -> type[BaseModel]:
    """What a route takes: the arguments of the question."""
    fields: dict[str, Any] = {}
    for name, argument in inspect.signature(question).parameters.items():
        is_required = argument.default is argument.empty
        alias = next((one for one, several in _SEVERAL.items() if several == name), None)
        kind = Annotated[argument.annotation, Field(alias=alias)] if alias else argument.annotation
        fields[name] = (kind, ... if is_required else argument.default)
    return create_model(question.__name__, __base__=_NothingElse, **fields)


def _values(arguments: type[BaseModel], given: QueryParams) -> dict[str, object]:
    """The values by name; an empty one is none."""
    found: dict[str, object] = {}
    for name in given:
        values = [value for value in given.getlist(name) if value]
        if _SEVERAL.get(name) in arguments.model_fields:
            found[name] = values
        elif len(values) > 1:
            raise UserError(f"{masked_line(name)} is given more than once")
        elif values:
            found[name] = values[0]
    return found


def _in_one_line(error: ValidationError, arguments: type[BaseModel]) -> str:
    first = error.errors(include_url=False)[0]
    name = masked_line(".".join(map(str, first["loc"])))
    if first["type"] != "extra_forbidden":
        return f"{name}: {first['msg']}"
    known = (one.alias or name for name, one in arguments.model_fields.items())
    return f"{name} is no argument here; there are {', '.join(known)}"
