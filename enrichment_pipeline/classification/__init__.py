"""What an event is: its type and its action, by rules that are data.

Pure: nothing is read but the rules file, and there is no framework and no database here. Parsing
an event belongs to `events`. `classify_frame` is imported from `classification.frame`, so that
whoever classifies single events does not wait for pandas.
"""

from enrichment_pipeline.classification.classify import classify_event
from enrichment_pipeline.classification.rules import EventClassification, Rules
from enrichment_pipeline.classification.rules_file import load_rules
from enrichment_pipeline.classification.yaml_nodes import RulesFileError

__all__ = ["EventClassification", "Rules", "RulesFileError", "classify_event", "load_rules"]
