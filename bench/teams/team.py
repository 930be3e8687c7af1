"""What every team of the orchestration benchmark is given, and what it must do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.measuring.fake_model import FakeModel

__all__ = ("FOUND", "REPORT", "TASK", "WORKERS", "Team")

TASK = "Compare the three vendors by price, delivery and support."
WORKERS = ("price", "delivery", "support")
FOUND = "Northwind is ahead of Contoso, and Contoso of Fabrikam."
REPORT = "Northwind is ahead in price, delivery and support."


@dataclass(frozen=True, slots=True)
class Team:
    """A compiled team of one planner and the three workers."""

    name: str
    run: Callable[[], str]
    """Does one job and returns the report."""
    models: Sequence[FakeModel]
    """All models of the team."""
    calls: int
    """How many model calls one job must take."""

    def work(self) -> None:
        """Do one job. Raises `RuntimeError` unless it ends in the report after exactly `calls` model calls."""
        before = sum(model.calls for model in self.models)
        report = self.run()
        calls = sum(model.calls for model in self.models) - before
        if report != REPORT or calls != self.calls:
            raise RuntimeError(f"{self.name} answered {report!r} after {calls} model calls instead of {self.calls}")
