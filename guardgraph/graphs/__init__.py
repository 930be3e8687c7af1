"""The patterns: nodes wired into state graphs."""

from __future__ import annotations

from guardgraph.graphs.checked_guards import (
    checked_guards,
)
from guardgraph.graphs.pipeline import (
    Stage,
    pipeline,
)
from guardgraph.graphs.supervisor import (
    supervisor,
)
from guardgraph.graphs.team import (
    Team,
)

__all__ = (
    "Stage",
    "Team",
    "checked_guards",
    "pipeline",
    "supervisor",
)
