"""The settings: where they come from, and how wrong ones are refused."""

from datetime import timedelta
from pathlib import Path

import pytest

from enrichment_pipeline.settings import Settings, SettingsError, load_settings, variable_name

NUMBERS_FROM_ONE = [
    "ENRICHMENT_SENSOR_SECONDS",
    "ENRICHMENT_RETENTION_DAYS",
    "ENRICHMENT_RETENTION_DAYS_ENRICHED",
    "ENRICHMENT_RETENTION_DAYS_DEAD",
    "ENRICHMENT_REPLAY_RATE",
    "ENRICHMENT_RUN_HISTORY_DAYS",
    "ENRICHMENT_UI_PORT",
    "ENRICHMENT_API_PROCESSES",
]
WRONG = [
    *((name, value) for name in NUMBERS_FROM_ONE for value in ("0", "-1", "many", "")),
    ("ENRICHMENT_UI_PORT", "65536"),
    *(("ENRICHMENT_WINDOW_MINUTES", value) for value in ("0", "7", "45", "120", "an hour")),
]
UNUSABLE_URLS = [
    "mysql://user:secret@host/events",
    "postgresql+asyncpg://user:secret@host/events",
    "secret",
    "postgresql://user:secret@host:port/events",
    "postgresql://user:secret@host:5432",
    "postgresql://user:secret@host:5432/",
]


def test_without_any_setting_the_defaults_hold() -> None:
    settings = load_settings()
    assert settings.database_url is None
    assert settings.home == Path(".enrichment")
    assert settings.window == timedelta(hours=1)
    assert (settings.host, settings.ui_port, settings.sensor_seconds) == ("127.0.0.1", 3000, 30)
    assert settings.model_fields_set == set()


@pytest.mark.parametrize(("variable", "value"), WRONG)
def test_a_wrong_setting_is_refused_in_one_line_by_its_name_and_value(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    line = str(refused.value)
    assert line.startswith(f"{variable}={value!r}: ")
    assert "\n" not in line


@pytest.mark.parametrize("url", UNUSABLE_URLS)
def test_an_unusable_database_url_is_refused_without_giving_its_password_away(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(
        SettingsError, match=r"^DATABASE_URL=…: must look like postgresql://"
    ) as refused:
        load_settings()
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:secret@host:5432/events",
        "postgres://host/events",
        "postgresql:///events?host=/run/postgresql&port=5432",
    ],
)
def test_a_database_url_is_kept_as_it_is_and_never_shown(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    settings = load_settings()
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == url
    assert url not in repr(settings)


@pytest.mark.parametrize(
    "name",
    [
        *("database_url", "broker_url", "read_token", "webhook_secret", "project_tokens", "host"),
        *("pull_folder", "pull_project", "posthog_url", "posthog_api_key", "ui_url"),
    ],
)
def test_an_empty_text_means_that_it_is_not_set(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable_name(name), "")
    assert getattr(load_settings(), name) == Settings.model_fields[name].default


@pytest.mark.parametrize("url", ["dagster.example.com", "ftp://dagster.example.com", "https://"])
def test_the_address_of_the_ui_is_one_that_a_browser_can_go_to(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENRICHMENT_UI_URL", url)
    with pytest.raises(SettingsError, match=r"ENRICHMENT_UI_URL=.* must look like https://"):
        load_settings()


@pytest.mark.parametrize(("raw", "line"), [("30", "is 30"), (None, "is not set")])
def test_enriched_events_that_would_go_before_their_raw_ones_are_refused_by_name(
    raw: str | None, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if raw:
        monkeypatch.setenv("ENRICHMENT_RETENTION_DAYS", raw)
    monkeypatch.setenv("ENRICHMENT_RETENTION_DAYS_ENRICHED", "29")
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert str(refused.value) == (
        "ENRICHMENT_RETENTION_DAYS_ENRICHED='29': enriched events cannot go before their raw ones: "
        f"ENRICHMENT_RETENTION_DAYS {line}"
    )
    monkeypatch.setenv("ENRICHMENT_RETENTION_DAYS", "29")
    assert load_settings().retention_days_enriched == 29


POSTHOG = {
    "ENRICHMENT_POSTHOG_URL": "https://eu.posthog.com/",
    "ENRICHMENT_POSTHOG_PROJECT_ID": "12345",
    "ENRICHMENT_POSTHOG_API_KEY": "phx_secret",
}


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("ENRICHMENT_POSTHOG_URL", "eu.posthog.com", "'eu.posthog.com': must look like https://"),
        ("ENRICHMENT_POSTHOG_URL", "https://me:secret@x.example", "…: must look like https://"),
        ("ENRICHMENT_POSTHOG_URL", "https://eu.i.posthog.com", "queries go to https://eu.posthog"),
        ("ENRICHMENT_POSTHOG_PROJECT_ID", "shop", "'shop': "),
        ("ENRICHMENT_POSTHOG_API_KEY", "phc_secret", "…: is a project token, which may only send"),
        ("ENRICHMENT_POSTHOG_API_KEY", "phx_secret…", "…: has characters that no key has"),
        ("ENRICHMENT_PULL_FOLDER", "ftp://me:secret@host/in", "…: may hold no password"),
    ],
)
def test_a_wrong_source_to_pull_from_is_refused_by_its_name_and_no_secret_is_shown(
    variable: str, value: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, good in {**POSTHOG, variable: value}.items():
        monkeypatch.setenv(name, good)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert str(refused.value).startswith(f"{variable}=")
    assert line in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("missing", POSTHOG)
def test_of_what_the_query_api_needs_each_missing_setting_is_named(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in POSTHOG.items():
        monkeypatch.setenv(name, "" if name == missing and not missing.endswith("ID") else value)
    if missing.endswith("ID"):
        monkeypatch.delenv(missing)
    with pytest.raises(SettingsError, match=f"^{missing} not set: "):
        load_settings()


def test_with_all_that_it_needs_there_is_a_source_to_pull_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not load_settings().pulls
    for name, value in POSTHOG.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.pulls
    assert settings.posthog_url == "https://eu.posthog.com"
    assert "phx_secret" not in repr(settings)


def test_an_env_file_in_the_working_folder_is_read(tmp_path: Path) -> None:
    lines = ["DATABASE_URL=postgresql://host/events", "ENRICHMENT_UI_PORT=3100", "OTHER=left alone"]
    (tmp_path / ".env").write_text("\n".join(lines))
    settings = load_settings()
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == "postgresql://host/events"
    assert settings.ui_port == 3100


def test_the_environment_wins_over_the_env_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("ENRICHMENT_UI_PORT=3100\nENRICHMENT_SENSOR_SECONDS=7\n")
    monkeypatch.setenv("ENRICHMENT_UI_PORT", "3200")
    settings = load_settings()
    assert (settings.ui_port, settings.sensor_seconds) == (3200, 7)


def test_a_wrong_line_of_the_env_file_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ENRICHMENT_WINDOW_MINUTES=7\n")
    with pytest.raises(SettingsError, match=r"^ENRICHMENT_WINDOW_MINUTES='7': must be 15, 20, 30"):
        load_settings()


def test_every_setting_has_a_variable_and_says_what_it_means() -> None:
    for name, field in Settings.model_fields.items():
        variable = variable_name(name)
        assert variable in {"DATABASE_URL", "BROKER_URL"} or variable.startswith("ENRICHMENT_")
        assert field.description
