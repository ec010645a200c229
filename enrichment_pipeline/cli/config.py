"""`enrichment-pipeline config`: the settings in effect."""

from typing import Annotated

import typer
from pydantic import SecretStr
from sqlalchemy import make_url

from enrichment_pipeline.alerts.channels import channels
from enrichment_pipeline.classification import load_rules
from enrichment_pipeline.cli.console import print_json, print_table, records
from enrichment_pipeline.settings import Settings, load_settings, variable_name

_COLUMNS = ("variable", "value", "set", "meaning")


def config(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show every setting: its variable, its value, and what it means.

    Settings come from the environment, or from an .env file in the working folder.

    Example: [bold]ENRICHMENT_WINDOW_MINUTES=15 enrichment-pipeline config[/]
    """
    settings = load_settings()
    load_rules(settings.rules_file)
    channels(settings)
    rows = [
        (
            variable_name(name),
            _shown(name, getattr(settings, name)),
            "yes" if name in settings.model_fields_set else "no",
            field.description or "",
        )
        for name, field in Settings.model_fields.items()
    ]
    if as_json:
        print_json(records(_COLUMNS, rows))
    else:
        print_table(_COLUMNS, rows)


def _shown(name: str, value: object) -> str | None:
    if isinstance(value, SecretStr):
        if name != "database_url":
            return "…"
        return make_url(value.get_secret_value()).render_as_string(hide_password=True)
    return None if value is None else str(value)
