"""Paths: what people do before or after a step, for the commands, MCP and HTTP alike.

The query belongs to `store.analytics.paths`.
"""

from datetime import timedelta

from sqlalchemy import Connection

from enrichment_pipeline.analytics.answers import Answer, percent, period, shown_sessions
from enrichment_pipeline.analytics.asking import (
    Asked,
    about_of,
    nothing,
    shown_length,
    shown_step,
    shown_where,
    step_of,
)
from enrichment_pipeline.store.analytics.paths import Direction, Path, find_paths
from enrichment_pipeline.wording import UserError, counted

MOST_ACTS = 6

# No sentence contains it: it would open a tag.
_THEN = " > "


def paths(
    connection: Connection,
    asked: Asked,
    step: str,
    *,
    direction: Direction = "after",
    depth: int = 3,
    window: timedelta | None = None,
    limit: int = 10,
) -> Answer:
    """The most common sequences of acts right after or before a step.

    Raises:
        UserError: it cannot be asked like that; one line that says why.
    """
    wanted = step_of(step, "a path")
    if not 0 < depth <= MOST_ACTS:
        raise UserError(f"a path has 1 to {MOST_ACTS} acts, not {depth}")
    if asked.compare_to is not None:
        raise UserError("paths are of one time: ask once for each")
    about = about_of(connection, asked)
    found = find_paths(connection, about, wanted, direction, depth, limit, window)
    if not found.many:
        return nothing(about)
    who = "people" if window else "sessions"
    named = shown_sessions(connection, [path.newest for path in found.common])
    rows = [
        [_shown(path, direction), path.many, percent(path.many, found.many), newest]
        for path, newest in zip(found.common, named, strict=True)
    ]
    within = f" within {shown_length(window)}" if window else ""
    many = counted(found.many, *(("person", "people") if window else ("session",)))
    side = "first after" if direction == "after" else "last before"
    summary = (
        f"{many} took the step {shown_step(wanted)}; what they did {side} they took "
        f"it for the first time{within}, up to {counted(depth, 'act')}{shown_where(about)}; "
        f"{period(about)}"
    )
    return Answer(summary, [direction, who, "of_all_%", "newest_sessions"], rows)


def _shown(path: Path, direction: Direction) -> str:
    """The acts in the order of time."""
    if direction == "after":
        return _THEN.join(act or "nothing more" for act in path.acts)
    return _THEN.join(act or "nothing before" for act in reversed(path.acts))
