"""The settings: read from the environment or an `.env` file, checked once, refused by name.

What a setting does belongs to the package that uses it.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated, Self, get_args
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from enrichment_pipeline.events.allowed import NOTHING, Private, parse_allowed
from enrichment_pipeline.wording import UserError, command

_UNPREFIXED = {"database_url", "broker_url"}

_GONE = {
    "ENRICHMENT_PARTITION_START": "a window is a partition as soon as it has events, however old",
}
"""Variables of the version before, and what replaces them."""

_POSTHOG = ("posthog_url", "posthog_project_id", "posthog_api_key")

_ENV_FILE = ".env"

Port = Annotated[int, Field(ge=1, le=65_535)]
Days = Annotated[int, Field(ge=1)]
Minutes = Annotated[int, Field(ge=0, le=7 * 24 * 60)]


class SettingsError(UserError, ValueError):
    """A wrong setting; the message names the variable, its value, and what it may be."""


class Settings(BaseModel):
    """All settings with their defaults. Their variables have the prefix `ENRICHMENT_`, but for
    `DATABASE_URL` and `BROKER_URL`; `enrichment-pipeline config` prints them."""

    model_config = ConfigDict(extra="ignore")

    database_url: SecretStr | None = Field(
        None, description="PostgreSQL to use; unset: the embedded one."
    )
    broker_url: SecretStr | None = Field(
        None,
        description="Broker that the API notifies after each commit, for the workers: amqp://, "
        "sqs://, gcpubsub://, azureservicebus:// or kafka://; unset: none, Dagster enriches.",
    )
    auto_migrate: bool = Field(
        False,
        description="Whether whatever opens a store on a PostgreSQL of yours brings its schema up "
        "to date; else `enrichment-pipeline migrate` does. The embedded one always is.",
    )
    home: Path = Field(
        Path(".enrichment"), description="Where state is kept: the embedded PostgreSQL, logs."
    )
    window_minutes: int = Field(60, description="Length of a window: 15, 20, 30 or 60.")
    rules_file: Path | None = Field(None, description="YAML file with rules of your own.")
    host: str = Field("127.0.0.1", description="Address that the UI and the API listen on.")
    api_port: Port = Field(8000, description="Port of the ingest API.")
    api_processes: Annotated[int, Field(ge=1, le=64)] | None = Field(
        None,
        description="Processes of the API that speak HTTP, all on its port; unset: one for every "
        "four cores of the machine, at least 1 and at most 4.",
    )
    project_tokens: str | None = Field(
        None,
        description="Who may send: token=project, … or @FILE with one a line, which is read again "
        "when it changes. Unset: the token phc_local, on this machine only.",
    )
    unmasked: str | None = Field(
        None,
        description="What models may see of a project, as shop=email+phone, …; of email, phone, "
        "number, token, query; or shop=no-text: no free text. Unset: all of it is masked. For "
        "events that come in from then on.",
    )
    page_queries: str | None = Field(
        None,
        description="Parameters of the query that are part of a project's pages, as shop=page+tab, "
        "…: /?page=billing is the page /page=billing. For events that come in from then on.",
    )
    read_token: SecretStr | None = Field(
        None,
        description="Who may read /metrics and /openapi.json of the API; unset: made, and kept in "
        "the file read_token of ENRICHMENT_HOME.",
    )
    webhook_secret: SecretStr | None = Field(
        None,
        description="Shared with PostHog's HTTP destination; unset: the API takes no webhooks.",
    )
    pull_folder: str | None = Field(
        None,
        description="Folder, or URL of a bucket that fsspec knows, where PostHog's batch exports "
        "land; its new files are pulled. Unset: none is.",
    )
    pull_project: str = Field("default", description="The project that pulled events belong to.")
    posthog_url: str | None = Field(
        None,
        description="PostHog to pull from by its query API, such as https://us.posthog.com; goes "
        "with the other ENRICHMENT_POSTHOG_*. Unset: none is pulled from.",
    )
    posthog_project_id: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Number of the project in PostHog, from its project settings."
    )
    posthog_api_key: SecretStr | None = Field(
        None, description="Personal API key (phx_…) of PostHog with the scope query:read."
    )
    ui_port: Port = Field(3000, description="Port of the Dagster UI.")
    grace_seconds: Annotated[int, Field(ge=0)] = Field(
        30,
        description="With BROKER_URL: how long due events are left to the workers before Dagster "
        "enriches them.",
    )
    ui_url: str | None = Field(
        None,
        description="Where people reach the Dagster UI, for the links in alerts; unset: the "
        "address and port that it listens on.",
    )
    sensor_seconds: Annotated[int, Field(ge=1)] = Field(
        30, description="How often the sensor looks for due windows."
    )
    sensor_waits: bool = Field(
        False,
        description="Whether a tick of the sensor waits for due windows until the next tick; it "
        "blocks a daemon without sensors.use_threads. `up` and `demo` set it.",
    )
    retention_days: Days | None = Field(
        None,
        description="Raw events older than this are dropped, and what goes with them; unset: "
        "never.",
    )
    retention_days_enriched: Days | None = Field(
        None,
        description="The same for enriched events, not before their raw ones; unset: with them.",
    )
    retention_days_dead: Days | None = Field(
        None,
        description="The same for dead letters that are resolved or discarded; unset: with "
        "the raw events of their window.",
    )
    replay_rate: Annotated[int, Field(ge=1)] = Field(
        2000, description="Events per second that a replay of dead letters is held to."
    )
    run_history_days: Days = Field(30, description="Finished Dagster runs older than this go.")
    alert_urls: SecretStr | None = Field(
        None,
        description="Where alerts go: Apprise URLs, separated by spaces or commas. Unset: they are "
        "logged, and kept in the table alert.",
    )
    alert_webhook: SecretStr | None = Field(
        None, description="URL that gets each alert as JSON, by POST; see docs/how-to/alerts.md."
    )
    alert_silence_minutes: Minutes = Field(
        30, description="Alert after so long without an event, where some used to come; 0: never."
    )
    alert_queue_minutes: Minutes = Field(
        15, description="Alert when an event waits so long for its enrichment; 0: never."
    )
    alert_sensor_minutes: Minutes = Field(
        10, description="Alert when Dagster's sensor has not ticked for so long; 0: never."
    )

    @model_validator(mode="before")
    @classmethod
    def _variables_are_read(cls, given: dict[str, object]) -> dict[str, object]:
        return {**_from_variables(), **given}

    @field_validator("*", mode="before")
    @classmethod
    def _empty_text_is_unset(cls, value: object, info: ValidationInfo) -> object:
        # `ENRICHMENT_READ_TOKEN=` in a shell or an .env file means: not set.
        field = cls.model_fields[str(info.field_name)]
        is_text = {str, SecretStr} & {field.annotation, *get_args(field.annotation)}
        return field.default if value == "" and is_text else value

    @field_validator("window_minutes")
    @classmethod
    def _window_divides_the_hour(cls, minutes: int) -> int:
        if minutes not in {15, 20, 30, 60}:
            raise ValueError("must be 15, 20, 30 or 60")
        return minutes

    @field_validator("unmasked")
    @classmethod
    def _allowed_is_known(cls, value: str | None) -> str | None:
        _parse_allowed(value)
        return value

    @field_validator("page_queries")
    @classmethod
    def _page_queries_are_readable(cls, value: str | None) -> str | None:
        _by_project(value, "shop=page+tab, blog=p")
        return value

    @field_validator("database_url")
    @classmethod
    def _database_is_postgresql(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not _names_a_database(url.get_secret_value()):
            raise ValueError("must look like postgresql://user:password@host:5432/database")
        return url

    @field_validator("broker_url")
    @classmethod
    def _broker_is_a_url(cls, url: SecretStr | None) -> SecretStr | None:
        # The package `workers` knows which brokers there are.
        text = url.get_secret_value() if url else ""
        if text and "://" not in text:
            raise ValueError("must look like amqp://user:password@host:5672")
        return url if text else None

    @field_validator("pull_folder")
    @classmethod
    def _folder_has_no_password(cls, folder: str | None) -> str | None:
        # The folder is shown, logged and kept in the store.
        if folder and urlsplit(folder).password:
            raise ValueError("may hold no password; give it as fsspec's file system takes it")
        return folder or None

    @field_validator("posthog_url")
    @classmethod
    def _posthog_answers_queries(cls, url: str | None) -> str | None:
        if not url:
            return None
        host = urlsplit(url).hostname
        if not url.startswith(("https://", "http://")) or not host or urlsplit(url).password:
            raise ValueError("must look like https://us.posthog.com")
        if host.endswith(".i.posthog.com"):
            right = host.replace(".i.posthog.com", ".posthog.com")
            raise ValueError(f"is where events are sent to; queries go to https://{right}")
        return url.rstrip("/")

    @field_validator("posthog_api_key")
    @classmethod
    def _key_may_query(cls, key: SecretStr | None) -> SecretStr | None:
        text = key.get_secret_value() if key else ""
        if not text:
            return None
        if not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError("has characters that no key has")
        if text.startswith("phc_"):
            raise ValueError("is a project token, which may only send; a personal API key may read")
        return key

    @field_validator("alert_urls")
    @classmethod
    def _alerts_go_to_urls(cls, urls: SecretStr | None) -> SecretStr | None:
        # The package `alerts`, which loads Apprise, checks whether Apprise knows them.
        text = urls.get_secret_value().strip() if urls else ""
        if text and "://" not in text:
            raise ValueError("must be Apprise URLs, such as mailto://me:password@mail.example")
        return urls if text else None

    @field_validator("ui_url")
    @classmethod
    def _ui_is_http(cls, url: str | None) -> str | None:
        if url and not _is_http(url):
            raise ValueError("must look like https://dagster.example.com")
        return url.rstrip("/") if url else None

    @field_validator("alert_webhook")
    @classmethod
    def _webhook_is_http(cls, url: SecretStr | None) -> SecretStr | None:
        text = url.get_secret_value() if url else ""
        if text and not _is_http(text):
            raise ValueError("must look like https://host/path")
        return url if text else None

    @model_validator(mode="after")
    def _posthog_is_complete(self) -> Self:
        missing = [variable_name(name) for name in _POSTHOG if getattr(self, name) is None]
        if missing and len(missing) < len(_POSTHOG):
            raise ValueError(
                f"{' and '.join(missing)} not set: the query API needs the URL, the project's "
                "number and the key"
            )
        return self

    @model_validator(mode="after")
    def _enriched_outlive_raw(self) -> Self:
        # An enriched event may outlive its raw one; a raw event without an enriched one would
        # count as missing.
        raw, enriched = self.retention_days, self.retention_days_enriched
        if enriched is not None and (raw is None or enriched < raw):
            name = variable_name("retention_days")
            raise ValueError(
                f"{variable_name('retention_days_enriched')}={str(enriched)!r}: enriched events "
                f"cannot go before their raw ones: {name} is {raw or 'not set'}"
            )
        return self

    def allowed_of(self, project: str) -> frozenset[Private]:
        """The kinds of private data of a project that models may see."""
        return _parse_allowed(self.unmasked).get(project, NOTHING)

    def page_queries_of(self, project: str) -> Sequence[str]:
        """The parameters of the query that are part of a project's pages."""
        names = _by_project(self.page_queries, "").get(project, "")
        return tuple(name.strip() for name in names.split("+") if name.strip())

    @property
    def pulls(self) -> bool:
        """Whether there is a source to pull from."""
        return bool(self.pull_folder or self.posthog_url)

    @property
    def window(self) -> timedelta:
        """The length of a window."""
        return timedelta(minutes=self.window_minutes)


@cache
def _parse_allowed(value: str | None) -> dict[str, frozenset[Private]]:
    kinds = _by_project(value, "shop=email+phone, blog=query")
    return {project: parse_allowed(names) for project, names in kinds.items()}


@cache
def _by_project(value: str | None, example: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in (value or "").split(","):
        project, equals, names = (part.strip() for part in entry.partition("="))
        if entry.strip() and not (project and equals):
            raise ValueError(f"must look like {example}")
        if entry.strip():
            found[project] = names
    return found


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _names_a_database(url: str) -> bool:
    # A slow import, which users of the embedded database do not need.
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        # Without a name, a database called None would be made.
        named = bool(make_url(url).database)
    except (ArgumentError, ValueError):
        return False
    return named and url.startswith(("postgresql://", "postgres://"))


def variable_name(field: str) -> str:
    """The environment variable of a field of `Settings`."""
    return field.upper() if field in _UNPREFIXED else _prefixed(field)


def _prefixed(field: str) -> str:
    # The two variables without the prefix are read with it, too.
    return f"ENRICHMENT_{field.upper()}"


def _from_variables() -> dict[str, object]:
    """The values of the fields whose variables are set; the environment wins over the file."""
    held = _upper(dotenv_values(_ENV_FILE)) | _upper(os.environ)
    return {
        field: held[name]
        for field in Settings.model_fields
        for name in (_prefixed(field), variable_name(field))
        if name in held
    }


def _upper(variables: Mapping[str, str | None]) -> dict[str, str]:
    # In any case, as people write them.
    return {name.upper(): value for name, value in variables.items() if value is not None}


def unknown_variables() -> list[str]:
    """A line for each variable, of the environment or the `.env` file, that looks like one of our
    settings and is none: a misspelt setting has no other sign."""
    known = {*map(variable_name, Settings.model_fields), *map(_prefixed, Settings.model_fields)}
    held = {name.upper(): name for name in (*os.environ, *dotenv_values(_ENV_FILE))}
    return [
        f"{held[name]} is no setting, and is ignored; {_instead(name, known)}"
        for name in sorted(held.keys() - known)
        if _looks_like_ours(name, held)
    ]


def _looks_like_ours(name: str, held: Mapping[str, str]) -> bool:
    if get_close_matches(name.partition("_")[0], ["ENRICHMENT"], cutoff=0.8):
        return True
    missing = [one.upper() for one in _UNPREFIXED if one.upper() not in held]
    return bool(get_close_matches(name, missing, cutoff=0.9))


def _instead(name: str, known: Iterable[str]) -> str:
    if name in _GONE:
        return _GONE[name]
    near = get_close_matches(name, known, 1, 0.75)
    return f"did you mean {near[0]}?" if near else f"`{command('config')}` shows them all"


def load_settings() -> Settings:
    """The settings of this process.

    Raises:
        SettingsError: a setting is wrong; one line that names it.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError(_one_line_of(error)) from error


def _one_line_of(error: ValidationError) -> str:
    first = error.errors()[0]
    reason = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        # The settings do not go together; the reason names them.
        return reason
    field = str(first["loc"][0]).lower().removeprefix("enrichment_")
    return f"{variable_name(field)}={_held(field, first['input'])}: {reason}"


def _held(field: str, value: object) -> str:
    """The value of a setting, for a message; nothing of a secret, nor of a URL with a password."""
    is_secret = SecretStr in get_args(Settings.model_fields[field].annotation)
    if is_secret or (isinstance(value, str) and urlsplit(value).password):
        return "…"
    return repr(value)
