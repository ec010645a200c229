"""Who may send to the API, and who may read from it.

Finding the token in a request belongs to `bodies` and to the routes.
"""

import logging
import secrets
import time
from collections.abc import Iterable, Mapping
from hmac import compare_digest
from pathlib import Path

from enrichment_pipeline.ingest.api.encodings import RequestError
from enrichment_pipeline.ingest.projects import PROJECT, PROJECT_RULE
from enrichment_pipeline.settings import Settings, SettingsError

LOCAL_TOKEN = "phc_local"  # noqa: S105  it is good on this machine alone
"""The token that may send where ENRICHMENT_PROJECT_TOKENS is unset."""

DEFAULT_PROJECT = "default"

_PERSONAL_KEY = "phx_"
_MAX_LENGTH = 64
_READ_AGAIN_SECONDS = 1.0
_LOOPBACK = ("127.", "localhost", "::1")

logger = logging.getLogger(__name__)


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to `host`."""
    return host.startswith(_LOOPBACK)


def checked_token(token: str | None) -> str:
    """The token, if it has the form of one.

    Raises:
        RequestError: 401; it is missing, a personal key, or of no known form.
    """
    if not token:
        raise RequestError(401, "no project token; send it as api_key")
    if token.startswith(_PERSONAL_KEY):
        raise RequestError(401, "a personal API key must not be used to send events")
    if len(token) > _MAX_LENGTH or not token.isascii() or not token.isprintable():
        raise RequestError(401, "not a project token")
    return token


class ProjectTokens:
    """The tokens that may send, and the project of each.

    Raises (when made):
        SettingsError: ENRICHMENT_PROJECT_TOKENS is wrong, or unset where others reach the API.
    """

    def __init__(self, settings: Settings) -> None:
        value = settings.project_tokens or ""
        self._file = Path(value[1:]) if value.startswith("@") else None
        self._read_at = 0.0
        self._version: object = None
        self._projects: Mapping[str, str] = {}
        if self._file is not None:
            self._read()
        elif value:
            self._projects = _parse(value.split(","))
        elif is_loopback(settings.host):
            self._projects = {LOCAL_TOKEN: DEFAULT_PROJECT}
        else:
            raise SettingsError(
                f"ENRICHMENT_PROJECT_TOKENS: must be set where ENRICHMENT_HOST={settings.host} "
                "lets others reach the API, for instance to phc_abc=shop"
            )

    def project_of(self, token: str | None) -> str:
        """The project that a token sends to.

        Raises:
            RequestError: 401, the token may not send.
        """
        known = checked_token(token)
        self._read_again()
        project = self._projects.get(known)
        if project is None:
            raise RequestError(401, "unknown project token")
        return project

    @property
    def first(self) -> str:
        """One of the tokens, for an example."""
        return next(iter(self._projects), LOCAL_TOKEN)

    def _read_again(self) -> None:
        if self._file is None or time.monotonic() - self._read_at < _READ_AGAIN_SECONDS:
            return
        try:
            self._read()
        except SettingsError as error:
            # The known tokens stay valid: a mistake in the file must not cost events.
            logger.warning("%s; the tokens stay as they were", error)

    def _read(self) -> None:
        assert self._file is not None  # noqa: S101
        self._read_at = time.monotonic()
        try:
            found = self._file.stat()
            version = (found.st_mtime_ns, found.st_size, found.st_ino)
            if version == self._version:
                return
            lines = self._file.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"ENRICHMENT_PROJECT_TOKENS=@{self._file}: cannot be read: {error}"
            ) from error
        self._projects = _parse(line for line in lines if not line.lstrip().startswith("#"))
        self._version = version


def _parse(entries: Iterable[str]) -> dict[str, str]:
    projects: dict[str, str] = {}
    for entry in entries:
        token, _, project = (part.strip() for part in entry.partition("="))
        if not token and not project and "=" not in entry:
            continue
        if not token:
            raise SettingsError(
                f"ENRICHMENT_PROJECT_TOKENS: {entry.strip()!r}: no token stands before the =; "
                "write phc_abc=shop"
            )
        try:
            checked_token(token)
        except RequestError as error:
            raise SettingsError(f"ENRICHMENT_PROJECT_TOKENS: {entry.strip()!r}: {error}") from error
        if not PROJECT.fullmatch(project or DEFAULT_PROJECT):
            raise SettingsError(
                f"ENRICHMENT_PROJECT_TOKENS: {entry.strip()!r}: a project {PROJECT_RULE}"
            )
        projects[token] = project or DEFAULT_PROJECT
    if not projects:
        raise SettingsError("ENRICHMENT_PROJECT_TOKENS: names no token; write phc_abc=shop")
    return projects


def read_token(settings: Settings) -> str:
    """The token that may read; made on first use where the settings name none."""
    if settings.read_token is not None:
        return settings.read_token.get_secret_value()
    file = settings.home / "read_token"
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_name(f"read_token.{secrets.token_hex(4)}")
        new.touch(mode=0o600)
        new.write_text(secrets.token_urlsafe(32) + "\n")
        new.replace(file)
        return file.read_text().strip()


def bearer(header: str | None) -> str | None:
    """The token of a header `Authorization: Bearer …`."""
    scheme, _, token = (header or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def same_secret(given: str | None, expected: str) -> bool:
    """Whether the given secret is the expected one; takes the same time however much of it is
    right. Always false where none is given."""
    return bool(expected) and compare_digest((given or "").encode(), expected.encode())
