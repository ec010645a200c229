"""What the tests with real clients share: an API that runs, and the SDKs that npm installs."""

import fcntl
import io
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.clients.arrivals import Arrivals
from enrichment_pipeline_tests.clients.serving import PROJECT, TOKEN, Api, ApiProcess, served_api
from enrichment_pipeline_tests.clients.visits import served_site
from enrichment_pipeline_tests.served import served_by_a_thread

HERE = Path(__file__).parent
CHROMIUM = Path("/usr/bin/chromium")

_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Nothing but this machine can be reached.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
_NPM_INSTALL = ("install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts")


def cannot_run(reason: str) -> NoReturn:
    """Skip the test; where everything must run, let it fail."""
    if "CI" in os.environ:
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's chromium, without a window."""
    if not CHROMIUM.exists():
        cannot_run(f"{CHROMIUM} is needed to run posthog-js")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """A web site that uses posthog-js."""
    with served_site() as url:
        yield url


@pytest.fixture(autouse=True)
def no_settings_of_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable that an SDK would read reaches it."""
    for name in [name for name in os.environ if name.startswith("POSTHOG_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def api(store: Store, settings: Settings) -> Iterator[Api]:
    """The API on the fresh database."""
    known = settings.model_copy(update={"project_tokens": f"{TOKEN}={PROJECT}"})
    with served_by_a_thread(store, known) as url:
        yield Api(url)


@pytest.fixture
def api_process(database: str) -> Iterator[ApiProcess]:
    """The API on the fresh database, as users run it."""
    with served_api() as running:
        yield running


@pytest.fixture
def arrivals(database: str) -> Iterator[Arrivals]:
    """Knows what arrives in the fresh database."""
    listening = Arrivals(database)
    yield listening
    listening.close()


@pytest.fixture
def shot(tmp_path: Path) -> Callable[[Page, str], None]:
    """Takes a picture of what is seen."""
    folder = Path(os.environ.get("ENRICHMENT_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)

    def take(page: Page, name: str) -> None:
        # Of 64 colours: a third of the size, and the documentation is kept in git.
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        picture.quantize(64).save(folder / f"{name}.png", optimize=True)

    return take


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """Where the SDKs of package.json are installed: beside it, once for all workers and runs."""
    npm = shutil.which("npm")
    if npm is None:
        cannot_run("npm is needed to install posthog-node and posthog-js")
    wanted = HERE / "package.json"
    installed = HERE / "node_modules"
    stamp = installed / ".installed_for"
    with wanted.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_bytes() != wanted.read_bytes():
            done = subprocess.run(
                [npm, *_NPM_INSTALL], cwd=HERE, capture_output=True, text=True, check=False
            )
            if done.returncode:
                cannot_run(f"npm could not install posthog-node and posthog-js: {done.stderr}")
            shutil.copyfile(wanted, stamp)
    return installed
