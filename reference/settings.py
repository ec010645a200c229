"""The page of the settings: variable, default, meaning."""

from collections.abc import Iterator

from enrichment_pipeline.settings import Settings, variable_name
from reference.markdown import code, page, plain, said, table

INTRODUCTION = """\
Settings come from the environment, or from an `.env` file in the working folder; the environment wins.
Those that matter first: `DATABASE_URL`, `BROKER_URL`, `ENRICHMENT_HOME`, `ENRICHMENT_PROJECT_TOKENS`,
`ENRICHMENT_WINDOW_MINUTES`, `ENRICHMENT_RULES_FILE` and `ENRICHMENT_RETENTION_DAYS`.

`enrichment-pipeline config` prints them with their values, and every command warns of variables that look like settings
and are none. A wrong value ends the command with one line that names the variable. A variable that is set to an empty
text counts as unset."""


def settings_page() -> str:
    """The page, as Markdown."""
    return page("Settings", INTRODUCTION, table(("variable", "default", "meaning"), _rows()))


def _rows() -> Iterator[tuple[str, str, str]]:
    for name, field in Settings.model_fields.items():
        variable = variable_name(name)
        meaning = said(field.description, variable, "the description of its field in settings.py")
        default = "unset" if field.default is None else code(str(field.default).lower())
        yield code(variable), default, plain(meaning)
