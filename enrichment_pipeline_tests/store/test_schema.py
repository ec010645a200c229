"""The schema: up, down, and what the code takes it for."""

import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import date
from hashlib import sha256
from multiprocessing import get_context
from threading import Event
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from tenacity import stop_after_attempt

from enrichment_pipeline.events.people import ledger_name
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database import schema
from enrichment_pipeline.store.database.embedded import EmbeddedPostgres
from enrichment_pipeline.store.database.engine import Store, open_store
from enrichment_pipeline.store.database.errors import StoreError, StoreUnavailableError
from enrichment_pipeline.store.database.partitions import ensure_partitions
from enrichment_pipeline.store.database.schema import downgrade, migrate, schema_version, upgrade
from enrichment_pipeline.store.database.secrets import LEDGER_KEY, PSEUDONYM_KEY, secret
from enrichment_pipeline.store.database.tables import metadata
from enrichment_pipeline.store.migrations import online
from enrichment_pipeline_tests.databases import database_url


def test_the_tables_are_what_the_code_takes_them_for(store: Store) -> None:
    def is_ours(found: Any, name: str | None, kind: str, *_: Any) -> bool:
        return kind != "table" or name in metadata.tables

    with store.transaction() as connection:
        ensure_partitions(connection, [date(2026, 3, 1)])
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "include_object": is_ours}
        )
        assert compare_metadata(context, metadata) == []


@pytest.mark.slow
def test_the_schema_can_be_undone_and_made_again(store: Store) -> None:
    with store.transaction() as connection:
        ensure_partitions(connection, [date(2026, 3, 1)])
        downgrade(connection, "base")
        assert schema_version(connection) is None
        left = connection.execute(
            text("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        ).scalars()
        assert not [name for name in left if not name.startswith("alembic")]
        upgrade(connection)
        assert schema_version(connection) == "0018"


def test_secrets_of_an_older_store_leave_the_tables_that_readers_see(store: Store) -> None:
    with store.transaction() as connection:
        downgrade(connection, "0007")
        connection.execute(
            text(
                "INSERT INTO store_setting VALUES ('pseudonym_key', 'k') ON CONFLICT (name) "
                "DO UPDATE SET value = 'k'"
            )
        )
        unkeyed = sha256(b"default\0ann").hexdigest()
        connection.execute(
            text(
                "INSERT INTO forgotten (project, person, window_start, enriched, dead, pending) "
                "VALUES ('default', :person, now(), 1, 0, 0)"
            ),
            {"person": unkeyed},
        )
    migrate(store.engine, store.window)
    with store.transaction() as connection:
        assert secret(connection, PSEUDONYM_KEY) == "k"
        settings = connection.execute(text("SELECT name FROM store_setting")).scalars().all()
        assert PSEUDONYM_KEY not in settings
        kept = connection.execute(text("SELECT person FROM forgotten")).scalars().all()
        assert kept == [ledger_name(secret(connection, LEDGER_KEY), "default", "ann")] != [unkeyed]


def test_what_a_process_of_the_version_before_reads_stays_while_it_is_replaced(
    store: Store,
) -> None:
    kept = text("SELECT name FROM store_setting ORDER BY name")
    with store.transaction() as connection:
        downgrade(connection, "0011")
        connection.execute(text("INSERT INTO store_setting VALUES ('partition_start', '2026')"))
        upgrade(connection)
        assert connection.execute(kept).scalars().all() == ["partition_start", "window_minutes"]


def open_and_close(settings: Settings) -> None:
    open_store(settings).close()


@pytest.mark.slow
def test_several_processes_may_open_an_empty_store_at_once(server: EmbeddedPostgres) -> None:
    settings = Settings(database_url=database_url(server, f"opened_by_many_{os.getpid()}"))
    with ProcessPoolExecutor(3, get_context("spawn")) as pool:
        list(pool.map(open_and_close, [settings] * 3))


def test_a_store_keeps_the_length_of_its_windows(database: str) -> None:
    with pytest.raises(
        StoreError, match=r"ENRICHMENT_WINDOW_MINUTES=15: .* made with 60"
    ) as raised:
        open_store(Settings(database_url=database, window_minutes=15))
    assert "\n" not in str(raised.value)


def test_a_schema_of_a_newer_version_is_refused(store: Store, settings: Settings) -> None:
    with store.transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="upgrade enrichment-pipeline"):
        open_store(settings)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:secret@127.0.0.1:1/none",
        "postgresql://me:secret@no-such-host.invalid/none",
    ],
)
def test_a_database_that_does_not_answer_is_reported_in_one_line_without_its_password(
    url: str,
) -> None:
    with pytest.raises(StoreUnavailableError) as raised:
        open_store(Settings(database_url=url))
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)
    assert "DATABASE_URL" in str(raised.value)


def test_a_batch_cannot_claim_more_than_it_has(store: Store) -> None:
    with pytest.raises(Exception, match="raw_batch_counts") as raised, store.transaction() as one:
        one.execute(
            text(
                "INSERT INTO raw_batch (window_start, source, state, event_count, dead_count, "
                "due_at) VALUES (now(), 'test', 'pending', 1, 2, now())"
            )
        )
    assert not isinstance(raised.value, ProgrammingError)


def older(store: Store, version: str = "0016") -> None:
    """Make the store one of an older version."""
    with store.transaction() as connection:
        downgrade(connection, version)


def version_of(store: Store) -> str | None:
    with store.transaction() as connection:
        return schema_version(connection)


def test_an_older_schema_of_a_server_that_is_not_ours_is_left_and_said_what_to_run(
    store: Store,
) -> None:
    older(store)
    with pytest.raises(StoreError, match=r"version 0016, .* needs 0018; run: .*migrate$"):
        open_store(store.settings)
    assert version_of(store) == "0016"
    open_store(store.settings.model_copy(update={"auto_migrate": True})).close()
    assert version_of(store) == "0018"


def test_a_migration_gives_way_to_those_at_work_and_tries_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    older(store)
    begun, tries = Event(), []

    def soon() -> float:
        tries.append(1)
        if len(tries) > 2:
            begun.set()
        return 0.05

    monkeypatch.setattr(online, "lock_seconds", soon)
    with ThreadPoolExecutor(1) as pool:
        with store.transaction() as connection:
            connection.execute(text("SELECT FROM raw_event"))
            done = pool.submit(migrate, store.engine, store.window)
            assert begun.wait(30)
        assert done.result(30) == ("0016", "0018")


def test_who_holds_up_a_migration_for_too_long_is_to_be_ended(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    older(store, "0015")
    monkeypatch.setattr(online, "GIVE_UP_SECONDS", 0.1)
    for patient in (schema._advance, online._concurrently):
        monkeypatch.setattr(patient.retry, "stop", stop_after_attempt(1))  # type: ignore[attr-defined]
    with store.snapshot() as somebody:
        somebody.execute(text("SELECT"))
        with pytest.raises(StoreError, match=r"were in use for 300 s, .* end the transaction"):
            migrate(store.engine, store.window)
    assert migrate(store.engine, store.window) == ("0015", "0018")
