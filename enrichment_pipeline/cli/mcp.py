"""`enrichment-pipeline mcp`: let a language model ask what users did."""

import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from enrichment_pipeline.cli.console import err, fail
from enrichment_pipeline.cli.services import port_is_free, url_host
from enrichment_pipeline.ingest.api.tokens import bearer, read_token, same_secret
from enrichment_pipeline.settings import Settings, load_settings
from enrichment_pipeline.store.engine import opened_store

_PORT = 8765


def mcp(
    http: Annotated[
        bool, typer.Option("--http", help="Over streamable HTTP; unset: standard input and output.")
    ] = False,
    port: Annotated[int, typer.Option(min=1, max=65535, help="With --http.")] = _PORT,
    show_config: Annotated[
        bool, typer.Option("--show-config", help="Print what an MCP client is configured with.")
    ] = False,
) -> None:
    """Serve MCP: sessions, timelines, events, the catalogue, dead letters, a chart. Read-only.

    An MCP client starts this itself; --show-config prints what to tell it. With --http it is
    served to others on ENRICHMENT_HOST, to who has the read token (ENRICHMENT_READ_TOKEN, or the
    file read_token in ENRICHMENT_HOME).

    Examples: [bold]enrichment-pipeline mcp --show-config[/],
    [bold]enrichment-pipeline mcp --http --port 8765[/]
    """
    settings = load_settings()
    if show_config:
        sys.stdout.write(json.dumps(_config(settings, port if http else None), indent=2) + "\n")
        return
    # Half a second of imports, which the other subcommands need not wait for.
    from enrichment_pipeline.llm.mcp_serving import PATH, serve_http, serve_stdio

    # Standard output belongs to the protocol.
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    with opened_store(settings) as store:
        if not http:
            serve_stdio(store)
            return
        if not port_is_free(settings.host, port):
            fail(f"port {port} is in use; end what listens there, or choose another: --port")
        token = read_token(settings)
        err.print(
            f"MCP: [bold]http://{url_host(settings.host)}:{port}{PATH}[/]   (Ctrl-C stops it)"
        )
        serve_http(store, lambda header: same_secret(bearer(header), token), settings.host, port)


def _config(settings: Settings, port: int | None) -> dict[str, object]:
    """What MCP clients take as their configuration."""
    if port is not None:
        server: dict[str, object] = {
            "type": "http",
            "url": f"http://{url_host(settings.host)}:{port}/mcp",
            "headers": {"Authorization": f"Bearer {read_token(settings)}"},
        }
    else:
        program = Path(sys.argv[0])
        # A client starts it in a folder of its own, with few variables.
        environment = {"ENRICHMENT_HOME": str(settings.home.resolve())}
        if settings.database_url is not None:
            environment["DATABASE_URL"] = settings.database_url.get_secret_value()
        server = {
            "command": str(program.resolve()) if os.sep in sys.argv[0] else str(program),
            "args": ["mcp"],
            "env": environment,
        }
    return {"mcpServers": {"enrichment-pipeline": server}}
