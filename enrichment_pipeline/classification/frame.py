"""Classifying a frame of events: each distinct input once, then broadcast to the rows.

The rules belong to `rules`. Only this module of the package knows pandas.
"""

from collections import defaultdict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from enrichment_pipeline.classification.classify import sub_type_of
from enrichment_pipeline.classification.rules import Rules
from enrichment_pipeline.classification.rules_file import load_rules

Factorized = tuple[NDArray[np.intp], list[object]]
"""For each row the position of its value, and the distinct values."""


def classify_frame(frame: pd.DataFrame, rules: Rules | None = None) -> pd.DataFrame:
    """Classify each row of `frame` as `classify_event` would.

    Args:
        frame: events with a column `event`, and with `sub_type` (`$event_type`) or `properties`
            (mappings) if there are any; if both are there, `sub_type` is used.
        rules: the rules to apply; without them, the built-in ones.

    Returns:
        Two categorical columns, `event_type` and `action_type`, on the index of `frame`. Their
        categories are the vocabulary of the rules, so frames made with the same rules concatenate.

    Raises:
        ValueError: `frame` has no column `event`.
    """
    if "event" not in frame.columns:
        raise ValueError("the frame has no column 'event'; name the column of the event names so")
    effective = load_rules() if rules is None else rules
    codes, inputs = _distinct_inputs(frame, effective)
    answers = [effective.classify(name, sub_type) for name, sub_type in inputs]
    event_types = pd.Categorical(
        [answer.event_type for answer in answers], categories=effective.event_types
    )
    action_types = pd.Categorical(
        [answer.action_type for answer in answers], categories=effective.action_types
    )
    return pd.DataFrame(
        {"event_type": event_types.take(codes), "action_type": action_types.take(codes)},
        index=frame.index,
    )


def _distinct_inputs(
    frame: pd.DataFrame, rules: Rules
) -> tuple[NDArray[np.intp], list[tuple[object, object]]]:
    """The distinct pairs (name, sub-type), and for each row the position of its pair."""
    codes, names = _factorize(frame["event"])
    inputs: list[tuple[object, object]] = [(name, None) for name in names]
    for position, name in enumerate(names):
        # Properties are read only in rows whose sub-type decides, because reading them is slow.
        if name in rules.sub_types:
            rows = np.flatnonzero(codes == position)
            sub_codes, sub_types = _factorize_sub_types(frame, rows)
            codes[rows] = sub_codes + len(inputs)
            inputs += [(name, sub_type) for sub_type in sub_types]
    return codes, inputs


def _factorize_sub_types(frame: pd.DataFrame, rows: NDArray[np.intp]) -> Factorized:
    if "sub_type" in frame.columns:
        return _factorize(frame["sub_type"].iloc[rows])
    if "properties" in frame.columns:
        # A list first: iterating over the column itself takes as long as reading the mappings.
        found = frame["properties"].iloc[rows].tolist()
        return _factorize_objects([sub_type_of(properties) for properties in found])
    return np.zeros(len(rows), dtype=np.intp), [None]


def _factorize(values: pd.Series) -> Factorized:
    if _has_exact_codes(values):
        codes, distinct = pd.factorize(values.array, use_na_sentinel=False)
        return codes, list(distinct)
    # Not pandas' own hash table: it confuses half a surrogate pair, which JSON can carry, with the
    # text of its escape.
    return _factorize_objects(values.tolist())


def _factorize_objects(values: list[object]) -> Factorized:
    """Values that are not strings have no meaning here, so they may be equal to each other."""
    # Numbers each new value by how many came before it.
    positions: defaultdict[object, int] = defaultdict()
    positions.default_factory = positions.__len__
    try:
        codes = np.fromiter(map(positions.__getitem__, values), dtype=np.intp, count=len(values))
    except TypeError:  # a list or a mapping among them has no hash
        texts = (value if isinstance(value, str) else None for value in values)
        codes = np.fromiter(map(positions.__getitem__, texts), dtype=np.intp, count=len(values))
    return codes, list(positions)


def _has_exact_codes(values: pd.Series) -> bool:
    """Whether pandas encodes the values itself, without its hash table of strings."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return True
    return isinstance(values.array, pd.arrays.ArrowStringArray) or (
        isinstance(values.dtype, pd.ArrowDtype) and values.dtype.type is str
    )
