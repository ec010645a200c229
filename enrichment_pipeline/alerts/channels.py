"""The channels: where messages go, and sending one. Only this module knows Apprise.

The URL of a channel holds its secrets, so a channel is named by its scheme and part of a hash.
"""

import hashlib
import logging
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote

from enrichment_pipeline.alerts.messages import Message
from enrichment_pipeline.settings import Settings, SettingsError

if TYPE_CHECKING:
    import httpx
    from apprise import Apprise

SEND_SECONDS = 10
"""The longest time that sending a message may take."""

_MOST_SAID = 200
_SHORTEST_SECRET = 4

# A URL may hold commas too; a comma that separates two URLs comes before a scheme.
_BETWEEN_URLS = re.compile(r"[\s,]+(?=[a-zA-Z][a-zA-Z0-9+.-]*://)")


class ChannelError(Exception):
    """A message did not arrive; the message says why in one line, with no secret of the channel."""


class Channel(Protocol):
    """Where messages go."""

    @property
    def name(self) -> str:
        """Its name in logs, tables and metrics."""

    def send(self, message: Message) -> None:
        """Send a message.

        Raises:
            ChannelError: it did not arrive.
        """


def channels(settings: Settings) -> list[Channel]:
    """The channels that the settings name.

    Raises:
        SettingsError: Apprise does not know one of the URLs.
    """
    found: dict[str, Channel] = {}
    if settings.alert_urls:
        urls = _BETWEEN_URLS.split(settings.alert_urls.get_secret_value().strip(" ,\t\r\n"))
        for number, url in enumerate(urls, 1):
            channel = AppriseChannel(url)
            if not channel.is_known:
                raise SettingsError(
                    f"ENRICHMENT_ALERT_URLS=…: URL number {number} of {len(urls)} is none that "
                    "Apprise knows; see https://github.com/caronc/apprise/wiki"
                )
            found[channel.name] = channel
    if settings.alert_webhook:
        webhook = WebhookChannel(settings.alert_webhook.get_secret_value())
        found[webhook.name] = webhook
    return list(found.values())


class AppriseChannel:
    """A service that Apprise knows how to reach."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.name = _name(url.partition("://")[0].lower(), url)

    @property
    def is_known(self) -> bool:
        """Whether Apprise knows the service, and the URL has all that it needs."""
        return len(self._service) > 0

    def send(self, message: Message) -> None:
        """Send a message; see `Channel`."""
        sent = self._service.notify(
            body=message.body,
            title=message.title,
            notify_type=_TYPES[message.status],
            body_format="text",
            timeout=SEND_SECONDS,
        )
        if not sent:
            said = [entry.message for entry in sent.logs() if entry.level in {"WARNING", "ERROR"}]
            raise ChannelError(without_secrets(said[-1] if said else "not delivered", self._url))

    @cached_property
    def _service(self) -> "Apprise":
        # The import takes a tenth of a second and 25 MB, which is wasted if nothing is sent.
        from apprise import Apprise, AppriseAsset

        # Its log may show parts of URLs. Why a message failed is read from its result instead.
        logger = logging.getLogger("apprise")
        logger.propagate = False
        logger.addHandler(logging.NullHandler())
        service = Apprise(asset=AppriseAsset(app_id="enrichment-pipeline", async_mode=False))
        service.add(self._url)
        return service


_TYPES = {"open": "warning", "closed": "success", "test": "info"}


class WebhookChannel:
    """A URL that gets messages as JSON."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.name = _name("webhook", url)

    @cached_property
    def _client(self) -> "httpx.Client":
        # Imported when a message is sent, because it takes a tenth of a second.
        import httpx

        # The library logs the URL of every request.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        return httpx.Client(timeout=SEND_SECONDS)

    def send(self, message: Message) -> None:
        """Send a message; see `Channel`."""
        import httpx

        try:
            # Only the status of the response is read.
            with self._client.stream("POST", self._url, json=message.as_json()) as answer:
                if not answer.is_success:
                    raise ChannelError(f"the webhook answers {answer.status_code}")
        except httpx.HTTPError as error:
            said = f"{type(error).__name__}: {error}"
            raise ChannelError(without_secrets(said, self._url)) from None


def attempt(channel: Channel, message: Message) -> str | None:
    """Send a message; returns why it did not arrive, or None if it did."""
    try:
        channel.send(message)
    except ChannelError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001  of a service's own code; its text may be secret
        return type(error).__name__
    return None


def send_to_all(channels: Sequence[Channel], message: Message) -> dict[str, str | None]:
    """Send a message to all channels at once; returns by name why it did not arrive, or None."""

    with ThreadPoolExecutor(max(1, len(channels))) as pool:
        outcomes = pool.map(lambda channel: attempt(channel, message), channels)
        return dict(zip((channel.name for channel in channels), outcomes, strict=True))


def without_secrets(said: str, url: str) -> str:
    """The first line of an error text, without any part of the URL but its scheme."""
    parts = re.split(r"[:/?#@&=,]+", url.partition("://")[2])
    secrets = {
        form for part in parts for form in (part, unquote(part)) if len(part) >= _SHORTEST_SECRET
    }
    lines = said.strip().splitlines()
    line = lines[0] if lines else "not delivered"
    for secret in sorted(secrets, key=len, reverse=True):
        line = line.replace(secret, "…")
    return line[:_MOST_SAID]


def _name(scheme: str, url: str) -> str:
    return f"{scheme}-{hashlib.sha256(url.encode()).hexdigest()[:6]}"
