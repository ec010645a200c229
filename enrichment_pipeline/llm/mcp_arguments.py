"""The types of the arguments of the MCP server's tools.

The calling model sees everything here. The meaning of times belongs to `periods`.
"""

from typing import Annotated

from pydantic import AfterValidator, Field

from enrichment_pipeline.llm.person_forms import FEWEST_TOKENS_OF_PERSON
from enrichment_pipeline.llm.rendering import FEWEST_TOKENS
from enrichment_pipeline.llm.tables import FEWEST_TOKENS_OF_TABLE

MOST_ROWS = 200
MOST_TOKENS = 8_000

_MOST_OFFSET = 1_000_000
_MOST_CHARACTERS = 400


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("there is a NUL in it")
    return text


Word = Annotated[str, Field(max_length=_MOST_CHARACTERS), AfterValidator(_without_nul)]
Start = Annotated[Word | None, Field(description="From then on. ISO 8601: 2026-11-27T10:00:00Z.")]
End = Annotated[Word | None, Field(description="Before then.")]
Project = Annotated[Word | None, Field(description="Of this project alone.")]
Person = Annotated[
    Word | None, Field(description="person_… as shown elsewhere, or a distinct_id that you know.")
]
Limit = Annotated[int, Field(ge=1, le=MOST_ROWS, description="Rows at most.")]
Offset = Annotated[int, Field(ge=0, le=_MOST_OFFSET, description="Rows to pass over.")]
_Tokens = Field(le=MOST_TOKENS, description="Tokens at most, estimated.")
Tokens = Annotated[int, Field(ge=FEWEST_TOKENS), _Tokens]
PersonTokens = Annotated[int, Field(ge=FEWEST_TOKENS_OF_PERSON), _Tokens]
TableTokens = Annotated[int, Field(ge=FEWEST_TOKENS_OF_TABLE), _Tokens]
