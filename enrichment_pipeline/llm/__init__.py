"""Output for language models: session timelines, the MCP server, exports.

All output is masked and made safe (`events.privacy`, `events.safe_text`) and bounded in size. SQL
belongs to `store`, the sentence of a single event to `enrichment.describe`.
"""
