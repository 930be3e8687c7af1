"""The patterns: nodes wired into state graphs."""

from __future__ import annotations

from guardgraph.graphs.frame import (
    frame,
)
from guardgraph.graphs.pipeline import (
    pipeline,
)
from guardgraph.graphs.supervisor import (
    supervisor,
)

__all__ = (
    "frame",
    "pipeline",
    "supervisor",
)
