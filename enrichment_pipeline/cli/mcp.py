"""`enrichment-pipeline mcp`: let a language model ask what users did."""

import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from enrichment_pipeline.cli.console import err, fail, write
from enrichment_pipeline.cli.services import url_host, why_not_listen
from enrichment_pipeline.ingest.api.tokens import bearer, read_token, same_secret
from enrichment_pipeline.settings import Settings, load_settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.reading.as_reader import opened_for_reading
from enrichment_pipeline.wording import command

_PORT = 8765
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  compared, not listened on


def mcp(
    http: Annotated[
        bool, typer.Option("--http", help="Over streamable HTTP; unset: standard input and output.")
    ] = False,
    port: Annotated[int, typer.Option(min=1, max=65535, help="With --http.")] = _PORT,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="With --http: a name by which a proxy in front of it is called."),
    ] = None,
    show_config: Annotated[
        bool, typer.Option("--show-config", help="Print what an MCP client is configured with.")
    ] = False,
) -> None:
    """Serve MCP: sessions, timelines, events, the catalogue, dead letters, charts. Read-only.

    An MCP client starts this itself; --show-config prints the client's configuration, in the form
    that Claude Desktop, Cursor and others read (mcpServers). With --http the server listens on
    ENRICHMENT_HOST, for clients with the read token (ENRICHMENT_READ_TOKEN, or the file read_token
    in ENRICHMENT_HOME).

    Examples: [bold]enrichment-pipeline mcp --show-config[/],
    [bold]enrichment-pipeline mcp --http --port 8765[/],
    [bold]enrichment-pipeline mcp --http --allow-host mcp.example.com[/]
    """
    settings = load_settings()
    if not http and allow_host:
        fail("--allow-host is about HTTP: give --http too")
    if show_config:
        write(_config(settings, port if http else None))
        return
    # Standard output belongs to the protocol.
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    with opened_for_reading(settings) as store:
        if http:
            _serve_http(store, settings, port, allow_host or [])
        else:
            _serve_stdio(store)


def _serve_stdio(store: Store) -> None:
    # Half a second of imports, which the other subcommands should not spend.
    from enrichment_pipeline.llm.mcp_serving import serve_stdio

    if sys.stdin.isatty():
        err.print(
            "This speaks MCP on standard input and output, for a client that starts it: "
            f"{command('mcp --show-config')}   (Ctrl-C stops it)"
        )
    serve_stdio(store)


def _serve_http(store: Store, settings: Settings, port: int, other_names: list[str]) -> None:
    from enrichment_pipeline.llm.mcp_serving import serve_http

    if why := why_not_listen(settings.host, port, "--port"):
        fail(why)
    token = read_token(settings)
    err.print(f"MCP: [bold]{_url(settings, port)}[/]   (Ctrl-C stops it)")
    if err.is_terminal:
        sys.stderr.write(_config(settings, port) + "\n")
    else:
        # The configuration holds the token, and standard error may be a log.
        err.print(
            "What clients are configured with: "
            + command(f"mcp --http --port {port} --show-config"),
            soft_wrap=True,
        )
    serve_http(
        store,
        lambda header: same_secret(bearer(header), token),
        settings.host,
        port,
        other_names,
    )


def _config(settings: Settings, port: int | None) -> str:
    """The configuration for MCP clients, as JSON."""
    if port is not None:
        server: dict[str, object] = {
            "type": "http",
            "url": _url(settings, port),
            "headers": {"Authorization": f"Bearer {read_token(settings)}"},
        }
    else:
        server = {"command": _program(), "args": ["mcp"], "env": _environment(settings)}
    return json.dumps({"mcpServers": {"enrichment-pipeline": server}}, indent=2)


def _program() -> str:
    # The whole path: a client has a PATH of its own.
    return str(Path(sys.argv[0]).resolve()) if os.sep in sys.argv[0] else sys.argv[0]


def _environment(settings: Settings) -> dict[str, str]:
    """The variables that a client has to set: it starts the program in a folder of its own, with
    few variables."""
    environment = {"ENRICHMENT_HOME": str(settings.home.resolve())}
    if settings.database_url is not None:
        environment["DATABASE_URL"] = settings.database_url.get_secret_value()
    return environment


def _url(settings: Settings, port: int) -> str:
    # A server that listens on all addresses is reached from this machine by the loopback one.
    host = "127.0.0.1" if settings.host in _EVERYWHERE else settings.host
    return f"http://{url_host(host)}:{port}/mcp"
