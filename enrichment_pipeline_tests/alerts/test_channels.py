"""The channels: real receivers, and nothing secret anywhere else."""

import json
import logging
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from enrichment_pipeline.alerts.channels import channels, send_to_all, without_secrets
from enrichment_pipeline.alerts.messages import trial_message
from enrichment_pipeline.settings import Settings, SettingsError, load_settings
from enrichment_pipeline_tests.alerts.receivers import SECRET, Receiver
from enrichment_pipeline_tests.conftest import free_port

MESSAGE = trial_message(datetime(2026, 3, 1, tzinfo=UTC))


def with_urls(urls: str = "", webhook: str | None = None) -> Settings:
    return Settings(
        alert_urls=SecretStr(urls) if urls else None,
        alert_webhook=SecretStr(webhook) if webhook else None,
    )


def test_a_service_of_apprise_gets_the_title_and_the_text(inbox: Receiver) -> None:
    [channel] = channels(with_urls(inbox.apprise))
    channel.send(MESSAGE)
    got = inbox.next()
    assert (got["title"], got["message"]) == (MESSAGE.title, MESSAGE.body)
    assert got["type"] == "info"


def test_a_webhook_gets_the_message_as_json(inbox: Receiver) -> None:
    [channel] = channels(with_urls(webhook=inbox.webhook))
    channel.send(MESSAGE)
    assert inbox.next() == json.loads(json.dumps(MESSAGE.as_json()))


@pytest.mark.parametrize("between", [" ", ",", " , ", "\n"])
def test_several_urls_are_separated_by_spaces_or_commas(between: str) -> None:
    urls = ["json://one.example/a,b", "mailto://me:pass@mail.example?to=a@b.example,c@d.example"]
    found = channels(with_urls(between.join(urls)))
    assert [channel.name.partition("-")[0] for channel in found] == ["json", "mailto"]


def test_a_channel_is_known_by_its_scheme_and_its_own_mark(inbox: Receiver) -> None:
    urls = f"{inbox.apprise}/a {inbox.apprise}/b {inbox.apprise}/a"
    names = [channel.name for channel in channels(with_urls(urls, inbox.webhook))]
    assert len(names) == len(set(names)) == 3
    assert [name[:-6] for name in names] == ["json-", "json-", "webhook-"]
    assert SECRET not in "".join(names)


def test_a_url_that_apprise_does_not_know_is_refused_by_its_place_and_not_shown() -> None:
    with pytest.raises(SettingsError) as refused:
        channels(with_urls(f"json://host.example/{SECRET} nosuch://{SECRET}"))
    assert str(refused.value).startswith("ENRICHMENT_ALERT_URLS=…: URL number 2 of 2 ")
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ENRICHMENT_ALERT_URLS", SECRET),
        ("ENRICHMENT_ALERT_WEBHOOK", SECRET),
        ("ENRICHMENT_ALERT_WEBHOOK", f"ftp://host.example/{SECRET}"),
        ("ENRICHMENT_ALERT_WEBHOOK", f"https:///{SECRET}"),
        ("ENRICHMENT_ALERT_WEBHOOK", f"https://host.example:port/{SECRET}"),
    ],
)
def test_what_is_no_url_is_refused_by_the_name_of_the_variable(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=f"^{variable}=…: must ") as refused:
        load_settings()
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("name", ["SILENCE", "QUEUE", "SENSOR"])
@pytest.mark.parametrize("value", ["-1", "soon", "10081"])
def test_a_limit_that_is_none_is_refused(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = f"ENRICHMENT_ALERT_{name}_MINUTES"
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=f"^{variable}='{value}': "):
        load_settings()


@pytest.mark.parametrize("name", ["ALERT_URLS", "ALERT_WEBHOOK"])
def test_an_empty_variable_names_no_channel(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"ENRICHMENT_{name}", "")
    assert channels(load_settings()) == []


@pytest.mark.parametrize("status", [302, 404, 500])
def test_what_a_channel_answers_is_reported(inbox: Receiver, status: int) -> None:
    inbox.status = status
    outcomes = send_to_all(channels(with_urls(inbox.apprise, inbox.webhook)), MESSAGE)
    json_said, webhook_said = outcomes.values()
    assert webhook_said == f"the webhook answers {status}"
    assert json_said


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[logging.LogRecord]:
    """What reaches the handlers of the process; caplog takes what goes no further than a library's
    own logger, too."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", records.append)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [handler])
    monkeypatch.setattr(root, "level", logging.INFO)
    return records


def test_of_a_channel_that_is_down_no_secret_is_reported_or_logged(
    log: list[logging.LogRecord],
) -> None:
    port = free_port()
    settings = with_urls(
        f"json://user:{SECRET}@127.0.0.1:{port}/{SECRET}", f"http://127.0.0.1:{port}/{SECRET}"
    )
    outcomes = send_to_all(channels(settings), MESSAGE)
    assert all(outcomes.values())
    assert SECRET not in f"{outcomes} {settings}"
    assert "127.0.0.1" not in str(outcomes), "of many services the host is a secret, too"
    assert log == []


def test_of_a_channel_that_answers_no_secret_is_logged(
    inbox: Receiver, log: list[logging.LogRecord]
) -> None:
    send_to_all(channels(with_urls(inbox.apprise, inbox.webhook)), MESSAGE)
    assert log == []


def test_a_channel_whose_code_fails_is_a_channel_that_fails(
    inbox: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    [channel] = channels(with_urls(inbox.apprise))

    def fail(_: object) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(channel, "send", fail)
    assert send_to_all([channel], MESSAGE) == {channel.name: "RuntimeError"}


def test_of_what_is_said_one_line_is_kept_without_any_part_of_the_url() -> None:
    url = "slack://TokenA/Token%20B/C?key=hunter2"
    said = "could not post to TokenA/Token B with hunter2: 404\nat TokenA"
    assert without_secrets(said, url) == "could not post to …/… with …: 404"
