"""Models that packages ship: joined, served by a process of their own, asked; with packages that
stand in for the real ones, which are no part of `make install`."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from benchmarks.understanding.packaged import PACKAGED, Packaged, PackagedError, joined, served

pytestmark = pytest.mark.slow

SERVER = """
import json, os, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

TEXT = "1: yes\\n2: none"

class CommonParams(SimpleNamespace):
    def __init__(self):
        names = ("model", "cpuparams", "cpuparams_batch")
        super().__init__(**{name: SimpleNamespace() for name in names})

class Handler(BaseHTTPRequestHandler):
    loading = 2

    def do_GET(self):
        Handler.loading -= 1
        self.answer(503 if Handler.loading >= 0 else 200, {"process": os.getpid()})

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.answer(200, {"choices": [{"message": {"content": TEXT}}]})

    def answer(self, status, body):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_):
        pass

class Server:
    def __init__(self, params):
        if not open(params.model.path).read():
            raise RuntimeError("failed to load model")
        server = HTTPServer((params.hostnames[0], params.port), Handler)
        threading.Thread(target=server.serve_forever).start()
        self.listening_address = f"http://127.0.0.1:{server.server_port}"
"""
PARTS = Packaged(
    "a model in two parts",
    (("model_part1", "data/part01.bin"), ("model_part2", "data/part02.bin")),
    hashlib.sha256(b"GGUF and more").hexdigest(),
)


def package(folder: Path, name: str, file: str, content: bytes) -> None:
    path = folder / name / file
    path.parent.mkdir(parents=True, exist_ok=True)
    (folder / name / "__init__.py").touch()
    path.write_bytes(content)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with packages that stand in for the real ones, before those that are installed."""
    folder = tmp_path / "packages"
    package(folder, "xllamacpp", "__init__.py", SERVER.encode())
    package(folder, "model_part1", "data/part01.bin", b"GGUF ")
    package(folder, "model_part2", "data/part02.bin", b"and more")
    [(smallest, file)] = PACKAGED["smollm2-135m"].parts
    package(folder, smallest, file, b"GGUF")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


def test_the_parts_of_a_model_are_joined_once(packages: Path, tmp_path: Path) -> None:
    path = joined("whole", PARTS, tmp_path / "cache")
    assert path == tmp_path / "cache" / "whole.gguf"
    assert path.read_bytes() == b"GGUF and more"
    written = path.stat().st_mtime_ns
    assert joined("whole", PARTS, tmp_path / "cache").stat().st_mtime_ns == written
    path.write_bytes(b"GGUF an")
    assert joined("whole", PARTS, tmp_path / "cache").read_bytes() == b"GGUF and more"


def test_a_model_in_one_part_stays_where_it_is(packages: Path, tmp_path: Path) -> None:
    path = joined("smollm2-135m", PACKAGED["smollm2-135m"], tmp_path / "cache")
    assert packages in path.parents
    assert not (tmp_path / "cache").exists()


def test_parts_of_another_model_are_not_joined(packages: Path, tmp_path: Path) -> None:
    (packages / "model_part2" / "data" / "part02.bin").write_bytes(b"and less")
    with pytest.raises(PackagedError, match=r"^the parts of whole are not those"):
        joined("whole", PARTS, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_is_not_installed_is_named_with_what_to_run(packages: Path, tmp_path: Path) -> None:
    absent = PARTS._replace(parts=(*PARTS.parts, ("model_part3", "data/part03.bin")))
    message = "the package model_part3 is not installed; run make understanding"
    with pytest.raises(PackagedError, match=f"^{message}$"):
        joined("whole", absent, tmp_path / "cache")
    (packages / "model_part2" / "data" / "part02.bin").unlink()
    with pytest.raises(PackagedError, match=r"part02\.bin is not there; run make understanding$"):
        joined("whole", PARTS, tmp_path / "cache")


def test_a_server_has_a_process_of_its_own_and_ends_with_its_block(
    packages: Path, tmp_path: Path
) -> None:
    with served(joined("whole", PARTS, tmp_path / "cache")) as url:
        assert url.startswith("http://127.0.0.1:")
        process = httpx.get(url.removesuffix("/v1") + "/health").json()["process"]
        assert process != os.getpid()
    assert not psutil.pid_exists(process)


def test_a_server_ends_with_whoever_started_it_however_that_ends(
    packages: Path, tmp_path: Path
) -> None:
    model = joined("whole", PARTS, tmp_path / "cache")
    code = f"""
from pathlib import Path
from benchmarks.understanding.packaged import served
with served(Path({str(model)!r})) as url:
    print(url, flush=True)
    input()
"""
    command = [sys.executable, "-c", code]
    folder = Path(__file__).parents[2]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, stdin=pipe, stdout=pipe, text=True) as starter:
        assert starter.stdout
        url = starter.stdout.readline().strip().removesuffix("/v1")
        server = psutil.Process(httpx.get(f"{url}/health").json()["process"])
        starter.kill()
    gone, _ = psutil.wait_procs([server], timeout=20)
    assert gone == [server]


def test_a_model_that_cannot_be_loaded_is_one_line(packages: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.touch()
    with pytest.raises(PackagedError) as caught, served(broken):
        pytest.fail("nothing is served")
    assert str(caught.value).startswith(f"xllamacpp cannot serve {broken}; to see why: ")
    assert "\n" not in str(caught.value)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.understanding", *arguments]
    folder = Path(__file__).parents[2]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_command_serves_a_packaged_model_and_asks_it(packages: Path) -> None:
    ran = run("--packaged", "smollm2-135m", "--sessions", "1", "--json")
    assert ran.returncode == 0, ran.stderr
    written = json.loads(ran.stdout)
    assert written["models"] == {"smollm2-135m": "SmolLM2-135M-Instruct, Q4_1"}
    scores = written["scores"]
    assert scores.keys() == {"by rule", "no reader", "smollm2-135m"}
    assert scores["smollm2-135m"]["timeline"]["questions"] > 0


def test_the_command_says_which_models_there_are() -> None:
    ran = run("--packaged", "gpt-6")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == (
        "--packaged gpt-6: there is no such model; there are smollm2-135m, qwen2.5-coder-1.5b\n"
    )
