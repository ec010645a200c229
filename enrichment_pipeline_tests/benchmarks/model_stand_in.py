"""A stand-in for a model: an HTTP server on loopback that speaks both APIs.

It answers by rule from the timeline it is shown, and from nothing else; so the harness is tested to
the end, and nothing is learned of models.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from benchmarks.understanding.questions import NOT_KNOWN, Question
from benchmarks.understanding.reading import answer_by_rule
from benchmarks.understanding.scripts import all_scripts

_ASKED = re.compile(r"^(\d+): (.*) \([^()]*\)$", re.MULTILINE)


@dataclass
class Reply:
    """What is answered in place of answers."""

    status: int = 200
    text: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class StandIn:
    """The server as the tests see it."""

    url: str = ""
    requests: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    """Path, headers, body."""
    replies: list[Reply] = field(default_factory=list)
    """What is answered first, in this order."""
    before: Callable[[], object] = lambda: None
    """What happens before anything is answered."""


@contextmanager
def model_stand_in() -> Iterator[StandIn]:
    """A stand-in that runs until the end."""
    standing_in = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            headers = {name.lower(): value for name, value in self.headers.items()}
            standing_in.requests.append((self.path, headers, body))
            standing_in.before()
            reply = standing_in.replies.pop(0) if standing_in.replies else Reply()
            text = _answered(self.path, body) if reply.text is None else reply.text
            # Who waited long enough is gone.
            with suppress(ConnectionError):
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        standing_in.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield standing_in
        finally:
            server.shutdown()
            thread.join()


def openai_answer(text: str | None) -> str:
    """The answer of OpenAI's API with this text."""
    message = {"role": "assistant", "content": text}
    return json.dumps({"object": "chat.completion", "choices": [{"message": message}]})


def anthropic_answer(text: str) -> str:
    """The answer of Anthropic's API with this text, behind a thought."""
    blocks = [{"type": "thinking", "thinking": "1: no"}, {"type": "text", "text": text}]
    return json.dumps({"type": "message", "role": "assistant", "content": blocks})


def _answered(path: str, body: dict[str, Any]) -> str:
    answer = openai_answer if path.endswith("/chat/completions") else anthropic_answer
    return answer(_read(body["messages"][-1]["content"]))


def _read(prompt: str) -> str:
    shown, _, asked = prompt.partition("\nBEGIN\n")[2].rpartition("\nEND\n")
    return "\n".join(f"{number}: {_answer(text, shown)}" for number, text in _ASKED.findall(asked))


def _answer(asked: str, shown: str) -> str:
    if "\nseconds action what\n" not in shown:
        return "I do not know"
    # Two scripts may ask the same of different events: whichever is there.
    answers = [answer_by_rule(question, shown) for question in _questions(asked)]
    return next((answer for answer in answers if answer != NOT_KNOWN), NOT_KNOWN)


def _questions(text: str) -> set[Question]:
    return {one for script in all_scripts() for one in script.questions if one.text == text}
