"""`make reference`: writes the pages of `docs/reference` that are made from the code."""

from collections.abc import Callable, Mapping
from pathlib import Path

from reference.alerts import alerts_page
from reference.commands import commands_page
from reference.metrics import metrics_page
from reference.reasons import reasons_page
from reference.routes import routes_page
from reference.settings import settings_page
from reference.tables import tables_page
from reference.tools import tools_page

FOLDER = Path(__file__).parents[1] / "docs" / "reference"

PAGES: Mapping[str, Callable[[], str]] = {
    "alerts.md": alerts_page,
    "commands.md": commands_page,
    "metrics.md": metrics_page,
    "reasons.md": reasons_page,
    "routes.md": routes_page,
    "settings.md": settings_page,
    "tables.md": tables_page,
    "tools.md": tools_page,
}


def main() -> None:
    """Write every page."""
    for name, make in PAGES.items():
        (FOLDER / name).write_text(make(), encoding="utf-8")
    print(f"{len(PAGES)} pages written to {FOLDER}")


if __name__ == "__main__":
    main()
