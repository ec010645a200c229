"""Asking a model over HTTP, with a stand-in on loopback: both APIs, and what can go wrong."""

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.understanding.asking import Api, Asker, AskingError, Model, prompt_of, read_answers
from benchmarks.understanding.contexts import FORMS, RAW, TIMELINE, Context
from benchmarks.understanding.questions import KINDS, NOT_KNOWN, Question
from benchmarks.understanding.scripts import all_scripts
from enrichment_pipeline_tests.benchmarks.model_stand_in import (
    Reply,
    StandIn,
    anthropic_answer,
    model_stand_in,
    openai_answer,
)
from enrichment_pipeline_tests.conftest import free_port

pytestmark = pytest.mark.slow

CONTEXT = Context(TIMELINE, "session one\n1 view /\n")
QUESTIONS = [
    Question(kind, KINDS[kind].text, KINDS[kind].answers, "?", choices=KINDS[kind].choices)
    for kind in ("bought", "exit", "device")
]
TEXT = "1: yes\n2: /pricing\n3: mobile\n"
APIS: list[Api] = ["openai", "anthropic"]
PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
ANSWERED = {"openai": openai_answer, "anthropic": anthropic_answer}


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with model_stand_in() as standing_in:
        yield standing_in


class Sleeps(list[float]):
    """Remembers how long was waited, and does not wait."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def base(stand_in: StandIn, api: Api) -> str:
    return stand_in.url + ("/v1" if api == "openai" else "")


def asked(
    stand_in: StandIn, api: Api = "openai", key: str | None = "key-1", timeout: float = 10
) -> tuple[list[str | None], Sleeps, Asker]:
    sleeps = Sleeps()
    asker = Asker(Model(base(stand_in, api), "stand-in", api, key, timeout), sleeps)
    try:
        return asker.answers(CONTEXT, QUESTIONS), sleeps, asker
    finally:
        asker.close()


def error_of(stand_in: StandIn, api: Api = "openai", timeout: float = 10) -> str:
    with pytest.raises(AskingError) as raised:
        asked(stand_in, api, timeout=timeout)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("api", APIS)
def test_a_model_is_asked_as_its_api_wants_it_and_without_chance(
    stand_in: StandIn, api: Api
) -> None:
    stand_in.replies = [Reply(text=ANSWERED[api](TEXT))]
    answers, sleeps, _ = asked(stand_in, api)
    assert answers == ["yes", "/pricing", "mobile"]
    assert sleeps == []
    [(path, headers, body)] = stand_in.requests
    assert path == PATHS[api]
    assert (body["model"], body["temperature"]) == ("stand-in", 0)
    assert body["messages"][-1] == {"role": "user", "content": prompt_of(CONTEXT, QUESTIONS)}
    if api == "openai":
        assert headers["authorization"] == "Bearer key-1"
        assert body["messages"][0]["role"] == "system"
    else:
        assert (headers["x-api-key"], headers["anthropic-version"]) == ("key-1", "2023-06-01")
        assert body["max_tokens"] > 0
        assert "it is data" in body["system"]


@pytest.mark.parametrize("api", APIS)
def test_a_model_of_ones_own_needs_no_key(stand_in: StandIn, api: Api) -> None:
    stand_in.replies = [Reply(text=ANSWERED[api](TEXT))]
    asked(stand_in, api, key=None)
    [(_, headers, _)] = stand_in.requests
    assert not {"authorization", "x-api-key"} & headers.keys()


def test_a_prompt_has_the_session_between_marks_and_the_choices_behind_a_question() -> None:
    prompt = prompt_of(CONTEXT, QUESTIONS)
    assert f"\nBEGIN\n{CONTEXT.text}\nEND\n" in prompt
    assert f"3: {KINDS['device'].text} (desktop, mobile, server)\n" in prompt


@pytest.mark.parametrize("api", APIS)
def test_a_key_that_is_refused_is_one_line_and_is_not_tried_again(
    stand_in: StandIn, api: Api
) -> None:
    refused = json.dumps({"type": "error", "error": {"message": "invalid\nx-api-key"}})
    stand_in.replies = [Reply(401, refused)]
    assert error_of(stand_in, api) == (
        f"stand-in at {base(stand_in, api)} refused the key (401: invalid x-api-key); "
        "put another one into MODEL_API_KEY"
    )
    assert len(stand_in.requests) == 1


def test_a_model_that_is_busy_is_asked_again_when_it_says(stand_in: StandIn) -> None:
    stand_in.replies = [
        Reply(429, "{}", {"retry-after": "7"}),
        Reply(503, ""),
        Reply(529, "", {"retry-after": "3600"}),
        Reply(text=openai_answer(TEXT)),
    ]
    answers, sleeps, _ = asked(stand_in)
    assert answers == ["yes", "/pricing", "mobile"]
    assert sleeps == [7, 2, 60]


def test_a_model_that_stays_busy_is_one_line(stand_in: StandIn) -> None:
    stand_in.replies = [Reply(429, '{"error": "slow down"}') for _ in range(4)]
    where = base(stand_in, "openai")
    expected = f"stand-in at {where} answered 429: slow down, 4 times; try again later"
    assert error_of(stand_in) == expected
    assert len(stand_in.requests) == 4


def test_a_model_that_does_not_answer_in_time_is_one_line(stand_in: StandIn) -> None:
    ended = threading.Event()
    stand_in.before = lambda: ended.wait(10)
    stand_in.replies = [Reply(text="too late") for _ in range(4)]
    try:
        error = error_of(stand_in, timeout=0.2)
    finally:
        ended.set()
    assert error.endswith("did not answer within 0.2 s, 4 times; try again later")


def test_a_port_on_which_nobody_listens_is_one_line() -> None:
    error = error_of(StandIn(url=f"http://127.0.0.1:{free_port()}"))
    assert " cannot be reached: " in error


def test_a_url_that_is_none_is_one_line() -> None:
    assert " cannot be reached: " in error_of(StandIn(url="shop"))


@pytest.mark.parametrize(
    "text",
    ["<html>it works</html>", "[]", "{}", '{"choices": []}', '{"choices": [{"message": 1}]}'],
)
def test_an_answer_of_something_else_is_one_line(stand_in: StandIn, text: str) -> None:
    stand_in.replies = [Reply(text=text)]
    error = error_of(stand_in)
    assert error.endswith(f"answered what no openai API does: {text}; are --url and --api right?")


@pytest.mark.parametrize("text", ["[]", "{}", '{"content": 7}', '{"content": ["a"]}'])
def test_an_answer_of_something_else_is_one_line_for_anthropic_too(
    stand_in: StandIn, text: str
) -> None:
    stand_in.replies = [Reply(text=text)]
    assert "answered what no anthropic API does" in error_of(stand_in, "anthropic")


def test_a_model_that_is_not_there_is_one_line(stand_in: StandIn) -> None:
    stand_in.replies = [Reply(404, '{"error": {"message": "model not found"}}')]
    assert error_of(stand_in).endswith(
        "answered 404: model not found; are --url, --model and --api right?"
    )


def test_a_model_that_has_one_temperature_is_asked_at_its_own(stand_in: StandIn) -> None:
    refused = '{"error": {"message": "Unsupported value: \'temperature\'"}}'
    stand_in.replies = [Reply(400, refused), Reply(text=openai_answer(TEXT))]
    answers, _, asker = asked(stand_in)
    assert answers[0] == "yes"
    assert not asker.has_temperature
    assert ["temperature" in body for _, _, body in stand_in.requests] == [True, False]


@pytest.mark.parametrize("text", ["I am only a model.", "", None, "1. \n2)", "yes\n/pricing"])
def test_nonsense_is_no_answer(stand_in: StandIn, text: str | None) -> None:
    stand_in.replies = [Reply(text=openai_answer(text))]
    answers, _, _ = asked(stand_in)
    assert answers == [None, None, None]


@pytest.mark.parametrize(
    "text",
    [
        "1: yes\n2: /pricing",
        "1. yes\n2. /pricing",
        "```\n1) yes\n2) /pricing\n```",
        "**1:** yes\n\n**2:** /pricing",
        "- 1: yes\n- 2: /pricing",
        "Here you are:\nQuestion 1: yes\n> 2: /pricing  ",
        "1: no\n2: /x\nLet me think again.\n1: yes\n2: /pricing",
    ],
)
def test_answers_are_read_in_whatever_dress(text: str) -> None:
    assert read_answers(text) == {1: "yes", 2: "/pricing"}


@given(st.text())
def test_no_text_is_too_strange_to_be_read(text: str) -> None:
    assert all(answer for answer in read_answers(text).values())


def run(stand_in: StandIn, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.understanding", *arguments]
    return subprocess.run(
        command,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "MODEL_API_KEY": "key-of-the-environment"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("api", APIS)
def test_the_command_asks_everything_in_every_form_and_scores_it(
    stand_in: StandIn, api: Api
) -> None:
    options = ("--url", base(stand_in, api), "--model", "stand-in", "--api", api, "--json")
    ran = run(stand_in, *options)
    assert ran.returncode == 0, ran.stderr
    scores: dict[str, Any] = json.loads(ran.stdout)["scores"]["stand-in"]
    kinds = Counter(one.kind for script in all_scripts() for one in script.questions)
    questions = kinds.total()
    assert {form: score["questions"] for form, score in scores.items()} == dict.fromkeys(
        FORMS, questions
    )
    assert scores[TIMELINE]["right"] == questions
    # The stand-in reads text alone, and says of all else that it does not know.
    unknown = kinds[NOT_KNOWN]
    assert {scores[form]["right"] for form in FORMS if form != TIMELINE} == {unknown}
    assert scores[RAW]["against_timeline"]["better"] == 0
    assert scores[RAW]["against_timeline"]["worse"] == questions - unknown
    assert scores[RAW]["tokens"] <= scores[TIMELINE]["tokens"]
    assert len(stand_in.requests) == len(FORMS) * len(all_scripts())
    headers = stand_in.requests[0][1]
    assert "key-of-the-environment" in headers.get("authorization", headers.get("x-api-key", ""))


def test_the_command_ends_with_one_line_where_the_model_cannot_be_asked(stand_in: StandIn) -> None:
    stand_in.replies = [Reply(403, "")]
    ran = run(stand_in, "--url", stand_in.url, "--model", "stand-in")
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert ran.stderr == (
        f"stand-in at {stand_in.url} refused the key (403); put another one into MODEL_API_KEY\n"
    )


def test_the_command_wants_a_model_with_its_url(stand_in: StandIn) -> None:
    ran = run(stand_in, "--url", stand_in.url)
    assert (ran.returncode, ran.stderr) == (
        1,
        "--url and --model go together: where the API is, and which model answers\n",
    )


def test_the_command_answers_by_rule_without_a_model() -> None:
    ran = run(StandIn())
    assert ran.returncode == 0, ran.stderr
    assert "Answers: by rule" in ran.stdout
    assert "Answers: no reader" in ran.stdout


def test_the_command_asks_of_some_scripts_and_not_again_what_it_has_kept(
    stand_in: StandIn, tmp_path: Path
) -> None:
    options = ("--url", base(stand_in, "openai"), "--model", "stand-in", "--sessions", "2")
    options = (*options, "--answers", str(tmp_path / "answers.jsonl"), "--json")
    first = run(stand_in, *options)
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["scripts"] == 2
    assert len(stand_in.requests) == 2 * len(FORMS)
    again = run(stand_in, *options)
    assert again.stdout == first.stdout
    assert len(stand_in.requests) == 2 * len(FORMS)
    more = run(stand_in, *options, "--sessions", "3", "--whole")
    assert set(json.loads(more.stdout)["scores"]["stand-in"]) < set(FORMS)
    # What is uncut in both is the same question: the text.
    assert len(stand_in.requests) == 2 * len(FORMS) + 2 * 3 + 4


def test_a_file_of_something_else_is_not_taken_for_kept_answers(
    stand_in: StandIn, tmp_path: Path
) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("[]\n")
    ran = run(stand_in, "--answers", str(file))
    assert (ran.returncode, ran.stderr) == (
        1,
        f"{file}, line 1: not an answer that was kept; name another file\n",
    )
    assert file.read_text() == "[]\n"
