"""One case of a suite with its expected outcome, its scores and its result."""

from __future__ import annotations

from typing import Annotated, Any, cast

from pydantic import Field, StringConstraints, model_validator

from guardgraph.state import FrozenModel, Outcome, OutcomeStatus, Task

__all__ = ("Case", "CaseResult", "Name", "Score")

Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""What names a suite, a case, a run or a metric: 1 to 200 characters, none of them a control character."""


class Case(FrozenModel):
    """One task for the graph, and what is expected of its outcome.

    `task` may be given as a `Task`, as its fields, or as its goal alone; the task is then named after the case.
    """

    id: Name
    """Its name, unique in the suite; a stored run is continued and compared by it."""
    task: Task
    """The task that the graph is given."""
    expected_status: OutcomeStatus = "completed"
    """How the run should end."""
    expected_facts: tuple[Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)], ...] = ()
    """Texts that the answer should hold."""
    tags: frozenset[Name] = Field(default_factory=frozenset[str])
    """Words to sort cases by."""

    @model_validator(mode="before")
    @classmethod
    def _task_from_text(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        fields = cast(dict[str, Any], given)
        task = {"goal": fields["task"]} if isinstance(fields.get("task"), str) else fields.get("task")
        return {**fields, "task": {"id": fields.get("id"), **task}} if isinstance(task, dict) else fields


class Score(FrozenModel):
    """How one outcome is rated by one metric."""

    metric: Name
    """The name of the metric."""
    value: float = Field(ge=0, le=1)
    """How good the outcome is, from 0 to 1."""
    passed: bool
    """Whether that is good enough."""
    reason: str = ""
    """Why; empty where there is nothing to explain."""


class CaseResult(FrozenModel):
    """One finished case of a run, with its scores."""

    case: Name
    """The id of the case."""
    outcome: Outcome | None = None
    """How the graph's run ended; `None` if it raised."""
    error: str | None = None
    """What the graph raised, or what was wrong with what it returned."""
    scores: tuple[Score, ...] = ()
    """One for each metric that measures something in this case."""
    seconds: float = Field(default=0, ge=0)
    """How long the graph took, in wall-clock time."""

    @property
    def passed(self) -> bool:
        """Whether all of its scores passed."""
        return self.error is None and all(score.passed for score in self.scores)
