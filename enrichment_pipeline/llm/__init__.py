"""What language models read: session timelines, and the server that models ask (MCP).

Everything that leaves here is masked and made safe (`events.privacy`, `events.safe_text`) and
bounded in size. SQL belongs to `store`, the sentence of a single event to `enrichment.describe`.
"""
