"""What an event is: its type and its action, by rules that are data.

Pure: only the rules file is read, and there is no framework and no database here. Parsing an event
belongs to `events`. Import `classify_frame` from `classification.frame`, so that classifying single
events does not import pandas.
"""

from enrichment_pipeline.classification.classify import classify_event
from enrichment_pipeline.classification.rules import EventClassification, Rules
from enrichment_pipeline.classification.rules_file import load_rules
from enrichment_pipeline.classification.yaml_nodes import RulesFileError

__all__ = ["EventClassification", "Rules", "RulesFileError", "classify_event", "load_rules"]
