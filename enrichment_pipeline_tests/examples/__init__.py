"""The examples, as their READMEs have them run.

Those that need more than this package are elsewhere: `examples/nextjs` in `clients`,
`examples/dagster_project` in `orchestration`.
"""

from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"
