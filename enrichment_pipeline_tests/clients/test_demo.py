"""The one command, for real: everything it starts, shows and stops."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil

from enrichment_pipeline_tests.conftest import free_port

PROGRAM = Path(sys.executable).with_name("enrichment-pipeline")


def servers_of(home: Path) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(home) in " ".join(process.info["cmdline"] or [])
    ]


def click_around(api: str) -> None:
    """Two events of one session, as posthog-js sends them."""
    common = {"distinct_id": "visitor", "$session_id": "clicked", "$pathname": "/shop"}
    click = {"$event_type": "click", "$elements_chain": 'button:text="Buy"'}
    batch = [
        {"event": "$pageview", "properties": common},
        {"event": "$autocapture", "properties": common | click},
    ]
    body = json.dumps({"api_key": "phc_local", "batch": batch}).encode()
    request = urllib.request.Request(f"{api}/batch/", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as response:
        assert response.status == 200


def test_the_demo_shows_what_users_did_and_leaves_nothing_running(tmp_path: Path) -> None:
    home, port, api_port = tmp_path / "home", free_port(), free_port()
    environment = {
        **os.environ,
        "ENRICHMENT_HOME": str(home),
        "ENRICHMENT_UI_PORT": str(port),
        "ENRICHMENT_API_PORT": str(api_port),
    }
    demo = subprocess.Popen(
        [PROGRAM, "demo"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert demo.stdout is not None
    shown = ""
    try:
        for line in demo.stdout:
            shown += line
            if "Ctrl-C stops everything" in line:
                break
        assert "rage_click" in shown, shown
        assert f"http://127.0.0.1:{port}" in shown
        assert f'src="http://127.0.0.1:{api_port}/static/array.js"' in shown
        with urllib.request.urlopen(f"http://127.0.0.1:{api_port}/readyz") as ready:
            assert ready.status == 200
        books = subprocess.run(
            [PROGRAM, "status", "--verify", "--json"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        total = json.loads(books.stdout)["total"]
        assert total["accepted"] == total["enriched"] > 500
        query = b'{"query": "{ assetNodes { assetKey { path } } }"}'
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/graphql", query, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as response:
            nodes = json.load(response)["data"]["assetNodes"]
        assert {node["assetKey"]["path"][0] for node in nodes} == {
            "raw_events",
            "enriched_events",
            "dead_letter",
            "session_timelines",
        }
        click_around(f"http://127.0.0.1:{api_port}")
        for line in demo.stdout:
            shown += line
            if line.startswith("Again:"):
                break
        recorded = shown.partition("What you just did")[2]
        assert "view /shop" in recorded
        assert 'click button "Buy"' in recorded
        assert "still going on" in recorded
    finally:
        started = [*psutil.Process(demo.pid).children(recursive=True), *servers_of(home)]
        demo.send_signal(signal.SIGTERM)
        rest, _ = demo.communicate()
    assert demo.returncode == 0, shown + rest
    _, alive = psutil.wait_procs(started, timeout=30)
    assert alive == []
