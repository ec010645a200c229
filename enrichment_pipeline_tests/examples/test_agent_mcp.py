"""`examples/agent_mcp`: the agent answers its three questions, and cites what there is."""

import re
import subprocess
import sys

import pytest

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.examples import EXAMPLES
from enrichment_pipeline_tests.llm.two_weeks import ERROR, LAST, fill_two_weeks

AGENT = EXAMPLES / "agent_mcp" / "agent.py"


@pytest.mark.slow
def test_the_agent_answers_three_questions_and_cites_sessions_that_there_are(
    store: Store, rules: Rules
) -> None:
    fill_two_weeks(store, rules)
    steps = ["/checkout", "touched=Pay now", "event=order placed"]
    command = [sys.executable, str(AGENT), LAST.date().isoformat(), *steps]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    tools, dropped, person, page, checked = done.stdout.split("\n\n")
    assert "get_timeline" in tools
    assert f'"{ERROR}", on Mobile, Mobile Safari on iOS (s' in dropped
    assert re.search(r"^p\d+, .* \d+ sessions? on \d+ days?, ", person, re.M)
    assert "dead_click on /search" in page
    assert checked == "Wrong: 0\n"
