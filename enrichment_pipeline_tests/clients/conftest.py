"""What the tests with real clients share: an API that runs, and the SDKs that npm installs."""

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.clients.arrivals import Arrivals
from enrichment_pipeline_tests.clients.serving import PROJECT, TOKEN, Api, ApiProcess, served_api
from enrichment_pipeline_tests.clients.visits import served_site
from enrichment_pipeline_tests.needs import cannot_run, installed_by_npm
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
    """Where the SDKs of package.json are installed."""
    return installed_by_npm(HERE)
