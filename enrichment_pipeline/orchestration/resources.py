"""What every run, sensor tick and schedule tick needs: the open store and the rules."""

import dagster as dg
from pydantic import PrivateAttr

from enrichment_pipeline.classification import Rules, load_rules
from enrichment_pipeline.settings import Settings, load_settings
from enrichment_pipeline.store.engine import Store, open_store


class Pipeline(dg.ConfigurableResource[None]):
    """The store and the rules that the settings of the process name, open for one execution."""

    _store: Store = PrivateAttr()
    _rules: Rules = PrivateAttr()
    _settings: Settings = PrivateAttr()

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Open the store for as long as the execution lasts."""
        self._settings = load_settings()
        self._rules = load_rules(self._settings.rules_file)
        self._store = open_store(self._settings)

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Close the store."""
        self._store.close()

    @property
    def store(self) -> Store:
        """The open store."""
        return self._store

    @property
    def rules(self) -> Rules:
        """The rules in effect."""
        return self._rules

    @property
    def settings(self) -> Settings:
        """The settings of this process."""
        return self._settings
