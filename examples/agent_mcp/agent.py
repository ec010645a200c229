"""An agent that answers three questions by the tools of `enrichment-pipeline mcp`.

    python agent.py [DAY [STEP …]]

DAY is the last day of the data, such as 2026-03-15 (unset: today); the steps are those to an order,
such as /checkout "event=order placed" (unset: /cart /checkout). It starts the server as an MCP
client does, and asks as a model would; what a model decides is written down here, so that it runs
without one and says the same each time.
"""

# ruff: noqa: T201  it prints its answers

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from mcp import Client, StdioServerParameters
from mcp.shared.exceptions import MCPError
from mcp.types import TextContent

PROGRAM = str(Path(sys.executable).with_name("enrichment-pipeline"))


class UnansweredError(Exception):
    """A tool says that it cannot answer, and why."""


async def main(last: date, steps: Sequence[str]) -> int:
    """Answer the questions; gives how many answers are missing, or cite what there is not."""
    async with Client(configured()) as client:
        agent = Agent(client, last, steps)
        tools = await client.list_tools()
        print("Tools:", ", ".join(sorted(tool.name for tool in tools.tools)))
        wrong = 0
        for question, answering in (
            ("Why did orders drop?", agent.why_orders_dropped),
            ("What did the newest visitor do in the last week?", agent.what_somebody_did),
            ("Which page frustrates most?", agent.what_frustrates),
        ):
            print(f"\n# {question}")
            try:
                answer = await answering()
                wrong += await agent.wrong_citations(answer)
            except UnansweredError as error:
                print(error)
                wrong += 1
                continue
            print(answer)
        print(f"\nWrong: {wrong}")
        return wrong


def configured() -> StdioServerParameters:
    """The server as clients are configured with it."""
    shown = subprocess.run(
        [PROGRAM, "mcp", "--show-config"], check=True, capture_output=True, text=True
    ).stdout
    server = json.loads(shown)["mcpServers"]["enrichment-pipeline"]
    return StdioServerParameters(command=server["command"], args=server["args"], env=server["env"])


class Agent:
    """Asks the tools, and makes sentences of what they answer, with what they cite."""

    def __init__(self, client: Client, last: date, steps: Sequence[str]) -> None:
        self._client = client
        self._steps = list(steps)
        self._day = datetime(last.year, last.month, last.day, tzinfo=UTC)
        self._end = (self._day + timedelta(days=1)).isoformat()

    async def ask(self, tool: str, **arguments: object) -> str:
        """The text of a tool's answer."""
        result = await self._client.call_tool(tool, arguments)
        text = "\n".join(one.text for one in result.content if isinstance(one, TextContent))
        if result.is_error:
            raise UnansweredError(text)
        return text

    async def wrong_citations(self, answer: str) -> int:
        """How many sessions, lines and people the answer cites that are not there."""
        if not re.search(r"\b[sp]\d+\b", answer):
            return 0
        checked = await self.ask("check_citations", text=answer)
        return sum(not line.endswith((" ok", " exists")) for line in checked.splitlines())

    async def why_orders_dropped(self) -> str:
        """From the funnel of the day to an error, and to a session that ran into it."""
        day = {"start": self._day.isoformat(), "end": self._end}
        funnel = await self.ask("funnel", steps=self._steps, compare_to="previous", **day)
        last = rows_of(funnel)[-1]
        answer = (
            f"{last['sessions']} sessions came to {self._steps[-1]}, {last['sessions_before']} the "
            "day before."
        )
        errors = rows_of(await self.ask("errors", **day))
        if not errors:
            return answer
        worst = errors[0]
        session = worst["session_ids"].split(",")[0]
        timeline = await self.ask("get_timeline", session_id=session)
        at = re.search(r"(?m)^! (\d+) error ", timeline)
        where = f"{session}:{at[1]}" if at else session
        return (
            f"{answer} {worst['sessions']} sessions ran into {worst['message']}, on "
            f"{worst['browsers']} ({where})."
        )

    async def what_somebody_did(self) -> str:
        """The person whose session is the newest."""
        [newest] = rows_of(await self.ask("list_sessions", end=self._end, limit=1))
        week = (self._day - timedelta(days=6)).isoformat()
        return await self.ask("person", person=newest["person"], start=week, end=self._end)

    async def what_frustrates(self) -> str:
        """The page with the most sessions with a signal."""
        week = (self._day - timedelta(days=6)).isoformat()
        counted = rows_of(await self.ask("count", by="signal_page", start=week, end=self._end))
        if not counted:
            return "None: no session of the week has a signal."
        first = counted[0]
        session = first["newest_sessions"].split(",")[0]
        return f"{first['signal_page']}: in {first['sessions']} sessions, such as {session}."


def rows_of(table: str) -> list[dict[str, str]]:
    """The rows of a table, by the names of its columns."""
    lines: Sequence[list[str]] = [line.split("|") for line in table.splitlines() if "|" in line]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]


if __name__ == "__main__":
    given = sys.argv[1:]
    last_day = date.fromisoformat(given[0]) if given else datetime.now(UTC).date()
    try:
        wrong = asyncio.run(main(last_day, given[1:] or ["/cart", "/checkout"]))
    except* MCPError:
        sys.exit("The server does not answer; it said why above.")
    sys.exit(1 if wrong else 0)
