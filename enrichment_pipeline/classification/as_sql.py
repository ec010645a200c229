"""The rules as one SQL expression, for events that lie in a warehouse.

It says what `Rules.classify` says, always. The one difficulty is case: Python's `casefold` and the
`lower` of an engine differ (ß, İ, the Kelvin sign), and engines among themselves. So no `lower` is
used: for each text of a pattern, exactly those letters are replaced that fold to one of its own.
"""

import sys
from collections.abc import Callable, Sequence
from functools import cache
from itertools import groupby
from string import ascii_lowercase, ascii_uppercase
from typing import Any, Literal, NamedTuple, get_args

from sqlglot import exp

from enrichment_pipeline.classification.rules import EventClassification, Rules

Dialect = Literal["duckdb", "bigquery", "snowflake", "clickhouse", "spark", "postgres"]
DIALECTS: tuple[Dialect, ...] = get_args(Dialect)

Sql = Any
"""An expression of sqlglot, whose classes have no common type that its own functions keep."""

RUN: frozenset[Dialect] = frozenset({"duckdb", "clickhouse", "postgres"})
"""The dialects that the tests run, and compare with Python."""


class RulesSql(NamedTuple):
    """Two expressions, for a SELECT list."""

    event_type: str
    action_type: str


def rules_as_sql(
    rules: Rules, dialect: Dialect, event: str = "event", sub_type: str = "sub_type"
) -> RulesSql:
    """The rules as expressions in a dialect; `event` and `sub_type` are SQL that gives the name of
    the event and its `$event_type`, as that dialect writes it.

    Raises:
        sqlglot.errors.ParseError: `event` or `sub_type` is no SQL.
    """
    name: Sql = exp.maybe_parse(event, dialect=dialect)
    kind: Sql = exp.maybe_parse(sub_type, dialect=dialect)
    columns: list[Callable[[EventClassification], str]] = [
        lambda answer: answer.event_type,
        lambda answer: answer.action_type,
    ]
    return RulesSql(*(_case(rules, name, kind, pick).sql(dialect, pretty=True) for pick in columns))


def _case(
    rules: Rules,
    name: Sql,
    kind: Sql,
    pick: Callable[[EventClassification], str],
) -> Sql:
    case = exp.Case()
    case = _when(case, exp.Is(this=name.copy(), expression=exp.Null()), pick(rules.not_a_string))
    for event, by_sub_type in sorted(rules.sub_types.items()):
        for value, answer in sorted(by_sub_type.items()):
            both = exp.and_(_equals(name, event), _equals(kind, value))
            case = _when(case, both, pick(answer))
    by_answer = sorted((pick(answer), event) for event, answer in rules.events.items())
    for said, group in groupby(by_answer, key=lambda pair: pair[0]):
        names = [exp.Literal.string(event) for _, event in group]
        case = _when(case, exp.In(this=name.copy(), expressions=names), said)
    case = _when(case, _contains(name.copy(), "$"), pick(rules.with_dollar))
    for said, texts in _patterns(rules, pick):
        found = [_contains(_folded(name, text), text) for text in texts]
        case = _when(case, exp.or_(*found), said)
    return case.else_(exp.Literal.string(pick(rules.without_dollar)))


def _patterns(
    rules: Rules, pick: Callable[[EventClassification], str]
) -> list[tuple[str, Sequence[str]]]:
    """The texts of patterns, those side by side with one answer together."""
    return [
        (said, [text for text, _ in group])
        for said, group in groupby(rules.patterns, key=lambda pattern: pick(pattern[1]))
    ]


def _when(case: exp.Case, condition: Sql, said: str) -> exp.Case:
    return case.when(exp.paren(condition), exp.Literal.string(said))


def _equals(column: Sql, value: str) -> Sql:
    return exp.EQ(this=column.copy(), expression=exp.Literal.string(value))


def _contains(text: Sql, part: str) -> Sql:
    position = exp.StrPosition(this=text, substr=exp.Literal.string(part))
    return exp.GT(this=position, expression=exp.Literal.number(0))


def _folded(name: Sql, pattern: str) -> Sql:
    """The name, with each letter folded that can take part in a match of this text.

    A letter whose folding holds none of the text's characters cannot, folded or not.
    """
    folded = name.copy()
    upper = "".join(one for one in ascii_uppercase if one.lower() in pattern)
    if upper:
        # ClickHouse, which regards case, knows it by this name alone.
        folded = exp.Anonymous(
            this="translate",
            expressions=[folded, exp.Literal.string(upper), exp.Literal.string(upper.lower())],
        )
    for letter, folding in _foldings():
        if not set(pattern).isdisjoint(folding):
            folded = exp.func(
                "REPLACE", folded, exp.Literal.string(letter), exp.Literal.string(folding)
            )
    return folded


@cache
def _foldings() -> tuple[tuple[str, str], ...]:
    """Every character that folds to another, but for ASCII's capitals."""
    ascii_letters = set(ascii_uppercase + ascii_lowercase)
    everything = map(chr, (*range(0xD800), *range(0xE000, sys.maxunicode + 1)))
    return tuple(
        (one, one.casefold())
        for one in everything
        if one not in ascii_letters and one.casefold() != one
    )
