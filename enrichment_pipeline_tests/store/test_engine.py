"""Opening a store on a server that is not quite ready for it, and losing it."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import URL, make_url, text

from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database import databases
from enrichment_pipeline.store.database.embedded import EmbeddedPostgres, EmbeddedPostgresError
from enrichment_pipeline.store.database.engine import Store, open_store, opened_store
from enrichment_pipeline.store.database.errors import StoreError, StoreUnavailableError
from enrichment_pipeline_tests.databases import database_url, execute


@pytest.fixture
def name(server: EmbeddedPostgres) -> Iterator[str]:
    """A name for databases and a role that are not there yet, and will not be afterwards."""
    made = f"engine_{uuid.uuid4().hex[:12]}"
    yield made
    for suffix in ("", "_dagster"):
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
        execute(server, drop.format(sql.Identifier(f"{made}{suffix}")))
    execute(server, sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(made)))


def do(server: EmbeddedPostgres, statement: str, name: str) -> None:
    execute(server, sql.SQL(statement).format(sql.Identifier(name)))


def refusal(url: str) -> str:
    with pytest.raises(StoreError) as raised:
        open_store(Settings(database_url=url))
    assert len(str(raised.value).splitlines()) == 1
    return str(raised.value)


def as_role(server: EmbeddedPostgres, name: str) -> str:
    return database_url(server, name).replace(f"//{server.address.user}@", f"//{name}@")


def databases_of(store: Store, name: str) -> list[str]:
    with store.transaction() as connection:
        found = connection.execute(
            text("SELECT datname FROM pg_database WHERE starts_with(datname, :name) ORDER BY 1"),
            {"name": name},
        )
        return list(found.scalars())


@pytest.mark.slow
def test_databases_that_are_not_there_are_made(server: EmbeddedPostgres, name: str) -> None:
    settings = Settings(database_url=database_url(server, name))
    with opened_store(settings) as store:
        assert databases_of(store, name) == [name]
        assert not store.has_dagster_database()
        store.ensure_dagster_database()
        assert databases_of(store, name) == [name, f"{name}_dagster"]
        assert store.dagster_url.split("?")[0].endswith(f"/{name}_dagster")


def test_a_database_that_another_process_makes_meanwhile_is_taken(
    server: EmbeddedPostgres, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = databases._connect
    made: list[str] = []

    def made_meanwhile(url: URL, **parameters: int) -> databases._Connection:
        if url.database == "postgres" and not made:
            made.append(name)
            do(server, "CREATE DATABASE {}", name)
        return connect(url, **parameters)

    monkeypatch.setattr(databases, "_connect", made_meanwhile)
    databases.ensure_database(make_url(database_url(server, name)))
    assert made == [name]


def test_both_sides_of_a_connection_notice_when_nobody_is_at_the_other(store: Store) -> None:
    with store.transaction() as connection:
        parameters = connection.connection.driver_connection.info.get_parameters()  # type: ignore[union-attr]
        assert (parameters["keepalives_idle"], parameters["tcp_user_timeout"]) == ("10", "20000")
        for name, value in {
            "client_connection_check_interval": "5s",
            "idle_in_transaction_session_timeout": "10min",
            "TimeZone": "UTC",
        }.items():
            assert connection.execute(text(f"SHOW {name}")).scalar_one() == value


def test_an_embedded_server_that_cannot_be_started_again_is_a_store_that_does_not_answer(
    server: EmbeddedPostgres, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Path(server.address.host).parents[1]
    embedded_settings = settings.model_copy(update={"database_url": None, "home": home})
    with opened_store(embedded_settings) as store:

        def cannot(_: EmbeddedPostgres) -> None:
            raise EmbeddedPostgresError("no room")

        store.engine.dispose()
        monkeypatch.setattr(EmbeddedPostgres, "start", cannot)
        with pytest.raises(StoreUnavailableError, match="no room"), store.transaction():
            pass


def test_whoever_may_not_make_a_database_learns_how_to_have_it_made(
    server: EmbeddedPostgres, name: str
) -> None:
    do(server, "CREATE ROLE {} LOGIN", name)
    assert f'run: CREATE DATABASE "{name}" OWNER "{name}"' in refusal(as_role(server, name))


@pytest.mark.slow
def test_whoever_may_not_make_tables_learns_how_to_be_allowed_to(
    server: EmbeddedPostgres, name: str
) -> None:
    do(server, "CREATE ROLE {} LOGIN", name)
    do(server, "CREATE DATABASE {}", name)

    url = as_role(server, name)
    assert f'run: ALTER DATABASE "{name}" OWNER TO "{name}"' in refusal(url)

    execute(server, sql.SQL("ALTER DATABASE {0} OWNER TO {0}").format(sql.Identifier(name)))
    with opened_store(Settings(database_url=url)) as store, store.transaction() as connection:
        assert connection.execute(text("SELECT count(*) FROM raw_event")).scalar_one() == 0


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:secret@127.0.0.1:1/shop",
        "postgresql://127.0.0.1:1/shop?user=me&password=secret",
        "postgresql://127.0.0.1:1/shop?sslpassword=secret",
        "postgresql://me:secret@127.0.0.1:1/shop?no_such_option=1",
    ],
)
def test_wherever_a_url_has_its_password_no_message_repeats_it(url: str) -> None:
    error = refusal(url)
    assert "secret" not in error
    assert error.startswith("DATABASE_URL=postgresql://")
    assert "127.0.0.1:1/shop" in error


def test_a_store_that_goes_away_says_so_and_can_be_used_again_when_it_is_back(
    store: Store,
) -> None:
    with (
        pytest.raises(StoreUnavailableError, match="PostgreSQL went away") as raised,
        store.transaction() as connection,
    ):
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert "\n" not in str(raised.value)
    with store.transaction() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1


def test_connections_that_the_server_closed_while_nobody_used_them_are_not_noticed(
    store: Store,
) -> None:
    with store.transaction() as first, store.transaction() as second:
        backends = [
            connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            for connection in (first, second)
        ]
    url = store.engine.url.set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(hide_password=False)) as other:
        for backend in backends:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [backend])
    with store.transaction() as connection:
        assert connection.execute(text("SELECT pg_backend_pid()")).scalar_one() not in backends


def test_what_a_failed_block_wrote_is_not_kept(store: Store) -> None:
    def write_and_fail() -> None:
        with store.transaction() as connection:
            connection.execute(text("INSERT INTO store_setting VALUES ('a', 'b')"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    with store.transaction() as connection:
        found = connection.execute(text("SELECT count(*) FROM store_setting WHERE name = 'a'"))
        assert found.scalar_one() == 0


def test_times_are_in_utc_whatever_the_server_thinks(store: Store) -> None:
    with store.transaction() as connection:
        assert connection.execute(text("SHOW timezone")).scalar_one() == "UTC"
