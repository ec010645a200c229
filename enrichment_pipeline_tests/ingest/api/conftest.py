"""The API in this process, on a real store, and senders to it."""

from collections.abc import Callable, Iterator

import pytest
from starlette.testclient import TestClient

from enrichment_pipeline.ingest.api.app import Parts, create_app
from enrichment_pipeline.llm.http import reading_routes
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.web.pages import Pages

TOKEN = "phc_test"
SECRET = "shared"
READ_TOKEN = "reader"

Query = Callable[[str], list[tuple[object, ...]]]


@pytest.fixture
def api_settings(settings: Settings) -> Settings:
    """Two projects, a reader, and a secret shared with PostHog's HTTP destination."""
    return settings.model_copy(
        update={
            "project_tokens": f"{TOKEN}=shop, phc_other=blog",
            "read_token": _secret(READ_TOKEN),
            "webhook_secret": _secret(SECRET),
        }
    )


def _secret(value: str) -> object:
    from pydantic import SecretStr

    return SecretStr(value)


@pytest.fixture
def client(store: Store, api_settings: Settings) -> Iterator[TestClient]:
    """A sender to the running application."""
    pages = Pages(store, READ_TOKEN)
    app = create_app(store, api_settings, parts=Parts(readable=reading_routes(store), pages=pages))
    with TestClient(app, follow_redirects=False) as sender:
        yield sender


@pytest.fixture
def query(store: Store) -> Query:
    """Asks the store."""
    from sqlalchemy import text

    def ask(statement: str) -> list[tuple[object, ...]]:
        with store.transaction() as connection:
            return [tuple(row) for row in connection.execute(text(statement)).all()]

    return ask
