"""What every run, sensor tick and schedule tick needs: the open store and the rules."""

from functools import cache

import dagster as dg
from pydantic import PrivateAttr

from enrichment_pipeline.classification import Rules, RulesFileError, load_rules
from enrichment_pipeline.enrichment.rules_in_use import RulesInUse
from enrichment_pipeline.orchestration.outcomes import ALERTED_OTHERWISE
from enrichment_pipeline.settings import Settings, load_settings
from enrichment_pipeline.store.database.engine import Store, open_store

# One for the process: where the file breaks, the code server's ticks keep the rules read before.
rules_in_use = cache(RulesInUse)


class Pipeline(dg.ConfigurableResource[None]):
    """The store and the rules that the settings of the process name, open for one execution."""

    _store: Store = PrivateAttr()
    _settings: Settings = PrivateAttr()
    _rules: Rules | None = PrivateAttr(None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Open the store for as long as the execution lasts."""
        self._settings = load_settings()
        self._rules = None
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
        """The rules in effect.

        Raises:
            dg.Failure: the rules file cannot be read; one line that says where and why.
        """
        # Read once for an execution, however long that takes.
        if self._rules is None:
            try:
                in_use = rules_in_use(self._settings.rules_file)
                self._rules = in_use.now(self._store, load_rules)
            except RulesFileError as error:
                said = {ALERTED_OTHERWISE: "as broken rules"}
                raise dg.Failure(str(error), metadata=said, allow_retries=False) from error
        return self._rules

    @property
    def settings(self) -> Settings:
        """The settings of this process."""
        return self._settings
