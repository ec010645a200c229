"""The rules as one SQL expression, for events in a warehouse.

It always gives the result of `Rules.classify`. The one difficulty is case: Python's `lower` differs
from that of an engine (İ, the Kelvin sign, Σ at the end of a word), and engines differ among
themselves. So `lower` is not used: for each text of a pattern, only those letters are replaced
whose lower case has one of the text's characters.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from functools import cache
from itertools import groupby
from string import ascii_uppercase
from typing import Any, Literal, NamedTuple, get_args

from sqlglot import exp

from enrichment_pipeline.classification.rules import EventClassification, Rules

Dialect = Literal["duckdb", "bigquery", "snowflake", "clickhouse", "spark", "postgres"]
DIALECTS: tuple[Dialect, ...] = get_args(Dialect)

Sql = Any
"""An expression of sqlglot, whose classes have no common type that its functions preserve."""

RUN: frozenset[Dialect] = frozenset({"duckdb", "clickhouse", "postgres"})
"""The dialects for which the tests compare the SQL with Python."""


class RulesSql(NamedTuple):
    """Two expressions, for a SELECT list."""

    event_type: str
    action_type: str


def rules_as_sql(
    rules: Rules, dialect: Dialect, event: str = "event", sub_type: str = "sub_type"
) -> RulesSql:
    """The rules as expressions in a dialect; `event` and `sub_type` are SQL expressions in that
    dialect for the event's name and its `$event_type`.

    Raises:
        sqlglot.errors.ParseError: `event` or `sub_type` is not valid SQL.
    """
    name: Sql = exp.maybe_parse(event, dialect=dialect)
    kind: Sql = exp.maybe_parse(sub_type, dialect=dialect)
    columns: list[Callable[[EventClassification], str]] = [
        lambda answer: answer.event_type,
        lambda answer: answer.action_type,
    ]
    return RulesSql(
        *(_case(rules, name, kind, pick, dialect).sql(dialect, pretty=True) for pick in columns)
    )


def _case(
    rules: Rules,
    name: Sql,
    kind: Sql,
    pick: Callable[[EventClassification], str],
    dialect: Dialect,
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
    begins = exp.EQ(this=_position(name.copy(), "$"), expression=exp.Literal.number(1))
    case = _when(case, begins, pick(rules.with_dollar))
    for said, texts in _patterns(rules, pick):
        found = [_contains(_lower(name, text, dialect), text) for text in texts]
        case = _when(case, exp.or_(*found), said)
    return case.else_(exp.Literal.string(pick(rules.without_dollar)))


def _patterns(
    rules: Rules, pick: Callable[[EventClassification], str]
) -> list[tuple[str, Sequence[str]]]:
    """The texts of patterns; neighbours with the same result are grouped."""
    return [
        (said, [text for text, _ in group])
        for said, group in groupby(rules.patterns, key=lambda pattern: pick(pattern[1]))
    ]


def _when(case: exp.Case, condition: Sql, said: str) -> exp.Case:
    return case.when(exp.paren(condition), exp.Literal.string(said))


def _equals(column: Sql, value: str) -> Sql:
    return exp.EQ(this=column.copy(), expression=exp.Literal.string(value))


def _contains(text: Sql, part: str) -> Sql:
    return exp.GT(this=_position(text, part), expression=exp.Literal.number(0))


def _position(text: Sql, part: str) -> Sql:
    return exp.StrPosition(this=text, substr=exp.Literal.string(part))


def _lower(name: Sql, pattern: str, dialect: Dialect) -> Sql:
    """The name, with each letter in lower case that can take part in a match of this text.

    A letter whose lower case holds none of the text's characters cannot match, changed or not.
    """
    lower = name.copy()
    upper = "".join(one for one in ascii_uppercase if one.lower() in pattern)
    if upper:
        # ClickHouse, whose names are case-sensitive, knows it only by this name.
        lower = _call("translate", lower, upper, upper.lower())
    if not _SIGMAS.isdisjoint(pattern):
        function, groups, *flags = _REPLACE_ALL[dialect]
        lower = _call(function, lower, _final_sigma(), groups, *flags)
    for letter, small in _lower_cases():
        if not set(pattern).isdisjoint(small):
            lower = exp.func(
                "REPLACE", lower, exp.Literal.string(letter), exp.Literal.string(small)
            )
    return lower


def _call(function: str, *arguments: Sql | str) -> Sql:
    given = [exp.Literal.string(one) if isinstance(one, str) else one for one in arguments]
    return exp.Anonymous(this=function, expressions=given)


@cache
def _lower_cases() -> tuple[tuple[str, str], ...]:
    """Every character whose lower case differs, except for ASCII's capitals."""
    return tuple(
        (one, one.lower())
        for one in _everything()
        if one not in ascii_uppercase and one.lower() != one
    )


def _everything() -> Iterator[str]:
    return map(chr, (*range(0xD800), *range(0xE000, sys.maxunicode + 1)))


# Only Σ has two lower cases, one of them for the end of a word.
_SIGMAS = frozenset("σς")
_REPLACE_ALL: Mapping[Dialect, Sequence[str]] = {
    "duckdb": ("regexp_replace", r"\1ς\2\3", "g"),
    "postgres": ("regexp_replace", r"\1ς\2\3", "g"),
    "clickhouse": ("replaceRegexpAll", r"\1ς\2\3"),
    "bigquery": ("regexp_replace", r"\1ς\2\3"),
    "snowflake": ("regexp_replace", r"\1ς\2\3"),
    "spark": ("regexp_replace", "$1ς$2$3"),
}


@cache
def _final_sigma() -> str:
    """A regular expression for a word that ends in Σ. Python itself says which characters are part
    of a word (letters with case, and marks and apostrophes within it): engines have other versions
    of Unicode."""
    cased, within = (
        {one for one in _everything() if f"{before}{one}Σ".lower().endswith("ς")}
        for before in (".", "A")
    )
    letter, part, mark = (_class(found) for found in (cased, within, within - cased))
    return f"([{letter}][{part}]*)Σ([{mark}]*)([^{part}]|$)"


def _class(characters: Set[str]) -> str:
    """Characters for the brackets of a regular expression, as ranges."""
    points = sorted(map(ord, characters))
    runs = groupby(enumerate(points), key=lambda pair: pair[1] - pair[0])
    ends = (
        (members[0], members[-1]) for members in ([point for _, point in run] for _, run in runs)
    )
    return "".join(f"{_literal(first)}-{_literal(last)}" for first, last in ends)


def _literal(point: int) -> str:
    return f"\\{chr(point)}" if chr(point) in r"^-[]\`" else chr(point)
