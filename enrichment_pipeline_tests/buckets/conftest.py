"""A bucket of its own for each test, in each store of objects."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import fsspec
import pytest

from enrichment_pipeline_tests.buckets.servers import S3, SERVERS, BucketServer


@dataclass
class Bucket:
    """A bucket that has just been made."""

    url: str
    name: str
    files: Any
    """fsspec's file system of its store."""
    server: BucketServer

    def put(self, objects: dict[str, bytes]) -> None:
        """Put objects into it, by their keys."""
        self.files.pipe({f"{self.name}/{key}": data for key, data in objects.items()})

    def listed(self) -> list[str]:
        """The keys of all its objects."""
        self.files.invalidate_cache()
        found = self.files.find(self.name, withdirs=False)
        return sorted(path.removeprefix(f"{self.name}/") for path in found)


class _Servers:
    def __init__(self, folders: pytest.TempPathFactory) -> None:
        self._folders = folders
        self._running: dict[str, BucketServer] = {}

    def of(self, scheme: str) -> BucketServer:
        if scheme not in self._running:
            server = SERVERS[scheme](self._folders.mktemp(scheme))
            server.start()
            self._running[scheme] = server
        return self._running[scheme]

    def stop(self) -> None:
        for server in self._running.values():
            server.stop()


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Servers]:
    """The servers, each started when it is first asked for."""
    found = _Servers(tmp_path_factory)
    yield found
    found.stop()


@pytest.fixture(params=list(SERVERS))
def bucket(
    request: pytest.FixtureRequest, servers: _Servers, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bucket]:
    """A bucket of each store in turn."""
    yield from _bucket(servers.of(request.param), monkeypatch)


@pytest.fixture
def s3(servers: _Servers, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A bucket of S3."""
    yield from _bucket(servers.of(S3.scheme), monkeypatch)


def _bucket(server: BucketServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    forget_connections(server.scheme)
    # Not that of the commands, which would know at once what it puts there.
    files = fsspec.filesystem(server.scheme, skip_instance_cache=True)
    name = f"tests-{uuid4().hex[:12]}"
    files.mkdir(name)
    yield Bucket(f"{server.scheme}://{name}", name, files, server)
    forget_connections(server.scheme)


def forget_connections(scheme: str) -> None:
    """Let fsspec read the environment anew: it keeps its file systems by their arguments."""
    fsspec.get_filesystem_class(scheme).clear_instance_cache()
    fsspec.config.conf.clear()
    fsspec.config.set_conf_env(fsspec.config.conf)
