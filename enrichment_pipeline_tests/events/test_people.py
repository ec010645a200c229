"""Recognizing people where no column holds them."""

import json
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrichment_pipeline.events.people import People, ledger_name

IDS = st.text(min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("user-1", True),
        ("of (1, user-1, 7)", True),
        ("user-1.", True),
        ('{"id":"user-1"}', True),
        ("user-10", False),
        ("superuser-1", False),
        ("user-", False),
        ("", False),
    ],
)
def test_a_text_names_somebody_by_the_whole_id(text: str, names: bool) -> None:
    assert bool(People(["user-1"]).named_in(text)) == names


@given(IDS.filter(lambda name: name.strip()))
def test_an_id_is_found_as_json_and_python_write_it(distinct_id: str) -> None:
    people = People([distinct_id])
    for written in (json.dumps(distinct_id), json.dumps(distinct_id, ensure_ascii=False)):
        assert people.named_in(f"at {written} we failed")
    assert people.named_in(f"at {distinct_id!r} we failed")


@given(IDS, st.booleans(), st.sampled_from(["distinct_id", "$distinct_id"]))
def test_the_owner_of_an_event_is_who_it_says_however_it_is_escaped(
    distinct_id: str, ascii_only: bool, key: str
) -> None:
    people = People([distinct_id, "another"])
    [held] = set(people.distinct_ids) - {"another"} or {"another"}
    for event in ({key: distinct_id}, {"properties": {key: distinct_id, "friend": "another"}}):
        payload = json.dumps(event, ensure_ascii=ascii_only).encode(errors="surrogatepass")
        assert people.owner(payload) == held
        as_text = json.dumps({"properties": json.dumps(event)}).encode()
        assert people.owner(as_text) == held


def test_the_owner_is_who_columns_say_though_characters_of_the_id_are_broken() -> None:
    grin = "\N{GRINNING FACE}"
    as_cesu = b'{"event": 5, "distinct_id": "jo \xed\xa0\xbd\xed\xb8\x80"}'
    assert People([f"jo {grin}"]).owner(as_cesu) == f"jo {grin}"
    for written in (rb"\ud83d", b"\xed\xa0\xbd"):
        payload = b'{"event": 5, "distinct_id": "jo %s"}' % written
        assert People(["jo \ufffd"]).owner(payload) == "jo \ufffd"
        as_text = json.dumps({"properties": payload.decode(errors="surrogatepass")}).encode()
        assert People(["jo \ufffd"]).owner(as_text) == "jo \ufffd"


@pytest.mark.parametrize(
    "payload",
    [
        b'{"distinct_id":"ann","event":"x"',
        b'{"event":"x", "distinct_id" : "ann',
        b'{"event":, "$distinct_id": "\\u0061nn"}',
        b"{'distinct_id': 'ann'}",
        b"ann,pageview,2026-03-01",
        b'\xff\xfe{"distinct_id": "ann"}',
        b'[{"distinct_id": "bob"}, {"distinct_id": "ann"}]',
        b'{"event": "x", "properties": {"email": "ann"}}',
        b'"ann"',
        b'{"distinct_id": ' + b"[" * 100_000 + b'"ann"',
        b'{"event": "\xed\xa0\xbd", "distinct_id": "ann"}',
    ],
)
def test_of_what_is_no_event_the_owner_is_read_as_well_as_can_be(payload: bytes) -> None:
    assert People(["ann"]).owner(payload) == "ann"


@pytest.mark.parametrize(
    "payload",
    [
        b'{"distinct_id":"bob","friend":"ann"}',
        b'{"distinct_id":"bob","friend":"ann"',
        b'{"event":"x","properties":{"text":"to ann"}}',
        b'{"distinct_id":"hannah"',
        b"hannah,pageview",
        b"[" * 100_000,
        b"",
    ],
)
def test_an_event_that_is_somebody_elses_stays_theirs_whoever_it_mentions(payload: bytes) -> None:
    assert People(["ann"]).owner(payload) is None


def test_numbers_are_ids_as_posthog_makes_text_of_them() -> None:
    assert People(["123"]).owner(b'{"distinct_id": 123}') == "123"
    assert People(["true"]).owner(b'{"distinct_id": true}') == "true"
    assert People(["1"]).owner(b'{"event": true}') is None


def test_a_long_id_is_known_as_columns_cut_it_and_in_full() -> None:
    people = People(["x" * 300])
    assert people.distinct_ids == ["x" * 200]
    assert people.named_in("x" * 300)
    assert people.named_in("x" * 200)
    assert people.owner(json.dumps({"distinct_id": "x" * 300}).encode()) == "x" * 200


def test_nobody_is_named_by_nothing() -> None:
    nobody = People([])
    assert not nobody.named_in("anything")
    assert nobody.owner(b'{"distinct_id": "ann"}') is None
    assert People([""]).distinct_ids == []


@pytest.mark.parametrize("word", ["1", "a", "events", "enrichment"])
def test_a_word_or_a_number_names_somebody_only_as_a_value(word: str) -> None:
    people = People([word])
    for said in (f"{word} of 5 failed", f"the {word}.", f"({word}, 2)", f"a/{word}/b", f"x {word}"):
        assert people.named_in(said) is None, said
    for said in (word, f"KeyError: '{word}'", f'"{word}"', f"id={word}", f"{word},pageview"):
        assert people.named_in(said) == word, said
    assert people.owner(json.dumps({"event": word, "count": 1, "list": ["a"]}).encode()) is None
    assert people.owner(json.dumps({"event": "x", "userId": word}).encode()) == word


@pytest.mark.slow
def test_any_number_of_people_are_looked_for_in_a_text_at_once() -> None:
    people = People([*(f"user-{number}" for number in range(100_000)), "ann@shop.example"])
    long_text = 'File "enrichment/path.py", line 100, in enrich_claim\n' * 2_000
    assert people.named_in(long_text) is None
    assert people.named_in(f"{long_text} user-99999 ") == "user-99999"
    assert people.named_in(f"{long_text} user-100001, ann@shop.example") == "ann@shop.example"
    assert people.owner(b'{"event": 5, "distinct_id": "user-7"}') == "user-7"


def test_the_ledger_names_people_by_a_key_and_by_whom_they_are_and_where() -> None:
    name = ledger_name("key", "default", "ann")
    # printf 'default\0ann' | sha256sum is what earlier versions wrote.
    unkeyed = sha256(b"default\0ann").hexdigest()
    assert name == sha256(f"key{unkeyed}".encode()).hexdigest()
    assert len({name, unkeyed, ledger_name("other", "default", "ann")}) == 3
    assert name != ledger_name("key", "defaul", "tann")
