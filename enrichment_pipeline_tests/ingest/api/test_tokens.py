"""Who may send, and who may read."""

import os
from pathlib import Path

import pytest

from enrichment_pipeline.ingest.api import tokens
from enrichment_pipeline.ingest.api.encodings import RequestError
from enrichment_pipeline.ingest.api.tokens import (
    LOCAL_TOKEN,
    ProjectTokens,
    bearer,
    read_token,
    same_secret,
)
from enrichment_pipeline.settings import Settings, SettingsError


def made(value: str | None, host: str = "127.0.0.1") -> ProjectTokens:
    return ProjectTokens(Settings(project_tokens=value, host=host))


def test_each_token_sends_to_its_project() -> None:
    known = made("phc_a=shop, phc_b = blog ,phc_c")
    assert [known.project_of(token) for token in ("phc_a", "phc_b", "phc_c")] == [
        "shop",
        "blog",
        "default",
    ]


@pytest.mark.parametrize(
    ("token", "why"),
    [
        ("phc_z", "unknown"),
        (None, "no project token"),
        ("", "no project token"),
        ("phx_a", "personal"),
        ("a" * 65, "not a project token"),
        ("phc_\0", "not a project token"),
        ("phc_é", "not a project token"),
    ],
)
def test_others_learn_why_they_may_not(token: str | None, why: str) -> None:
    with pytest.raises(RequestError, match=why) as refused:
        made("phc_a=shop").project_of(token)
    assert refused.value.status == 401


def test_without_tokens_a_local_one_is_good_on_this_machine_alone() -> None:
    assert made(None).project_of(LOCAL_TOKEN) == "default"
    with pytest.raises(SettingsError, match="ENRICHMENT_PROJECT_TOKENS: must be set"):
        made(None, host="0.0.0.0")  # noqa: S104


@pytest.mark.parametrize("value", ["phx_a=shop", "phc_a=sh op", ",", "é=shop", "=shop"])
def test_a_wrong_list_is_refused_by_its_name(value: str) -> None:
    with pytest.raises(SettingsError, match="ENRICHMENT_PROJECT_TOKENS") as raised:
        made(value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("value", ["==", "=shop"])
def test_a_project_without_a_token_learns_how_to_write_it(value: str) -> None:
    with pytest.raises(SettingsError, match="no token stands before the =; write phc_abc=shop"):
        ProjectTokens(Settings(project_tokens=value))


def test_tokens_in_a_file_are_rotated_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "_READ_AGAIN_SECONDS", 0)
    file = tmp_path / "tokens"
    file.write_text("# the shop\nphc_old=shop\n\n")
    known = made(f"@{file}")
    assert known.project_of("phc_old") == "shop"
    file.write_text("phc_old=shop\nphc_new=shop\n")
    assert known.project_of("phc_new") == known.project_of("phc_old") == "shop"
    file.write_text("phc_new=shop\n")
    with pytest.raises(RequestError, match="unknown"):
        known.project_of("phc_old")


@pytest.mark.parametrize("slip", ["phx_a=shop", "", None])
def test_a_slip_in_the_file_leaves_the_tokens_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slip: str | None
) -> None:
    monkeypatch.setattr(tokens, "_READ_AGAIN_SECONDS", 0)
    file = tmp_path / "tokens"
    file.write_text("phc_a=shop")
    known = made(f"@{file}")
    if slip is None:
        file.unlink()
    else:
        file.write_text(slip)
    assert known.project_of("phc_a") == "shop"


def test_a_file_that_is_not_there_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        made(f"@{tmp_path / 'nothing'}")


def test_the_read_token_is_made_once_and_for_its_owner(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    made_token = read_token(settings)
    assert len(made_token) > 20
    assert read_token(settings) == made_token
    assert os.stat(tmp_path / "home" / "read_token").st_mode & 0o777 == 0o600


def test_nobody_knows_a_secret_that_is_empty() -> None:
    assert same_secret("a", "a")
    for given in (None, "", "a"):
        assert not same_secret(given, "")


def test_a_bearer_token_is_read_from_its_header() -> None:
    assert bearer("Bearer  phc_a ") == "phc_a"
    assert bearer("bearer phc_a") == "phc_a"
    for wrong in (None, "", "Basic phc_a", "Bearer "):
        assert bearer(wrong) is None
