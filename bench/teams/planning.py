"""What a planner says: three subtasks, and in the next round nothing more."""

from __future__ import annotations

from bench.measuring.fake_model import Line
from bench.teams.team import WORKERS

__all__ = ("PLANS",)

PLANS = (
    Line(
        tool="Plan",
        arguments={"subtasks": [{"id": name, "goal": f"Compare {name}", "skill": name} for name in WORKERS]},
    ),
    Line(tool="Plan", arguments={"subtasks": []}),
)
