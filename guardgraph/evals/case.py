"""One question of a suite, and what its outcome is expected to be."""

from __future__ import annotations

from typing import Annotated, Any, cast

from pydantic import Field, StringConstraints, model_validator

from guardgraph.state import FrozenModel, OutcomeStatus, Task

__all__ = ("Case", "Name")

Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""What names a suite, a case, a run or a metric: 1 to 200 characters, none of them a control character."""


class Case(FrozenModel):
    """One task for the graph, and what is expected of its outcome.

    `task` may be given as a `Task`, as its fields, or as its goal alone; the task is then named after the case.
    """

    id: Name
    """Its name, unique in the suite; a stored run is continued and compared by it."""
    task: Task
    """What the graph is asked."""
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
        task = fields.get("task")
        if isinstance(task, str):
            task = {"goal": task}
        if not isinstance(task, dict):
            return fields
        return {**fields, "task": {"id": fields.get("id"), **cast(dict[str, Any], task)}}
