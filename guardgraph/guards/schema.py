"""Values that fit what was declared."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from pydantic import TypeAdapter, ValidationError

from guardgraph.guards.composition import Composable
from guardgraph.guards.context import GuardContext
from guardgraph.guards.guard import check_compensate
from guardgraph.guards.on_trip import OnTrip, Retry
from guardgraph.state import BadGraph, Gate, Result, Verdict, validation_text
from guardgraph.state.argument_checks import check_fields

__all__ = ("Schema",)


@dataclass(frozen=True, slots=True)
class Schema(Composable):
    """Refuse values that do not fit `model`, or that `check` objects to.

    Without arguments it refuses what did not fit the `output` that the agent itself declares. `check` is given the
    value (a `model` instance if there is a model) and returns `None` or the reason why it is refused. The value is
    read as the JSON data that it is stored as, so a strict model may hold dates, decimals and tuples. Raises
    `BadGraph` for a `model` that is no type.

    `compensate` names an agent of the team that puts a violation right: once the agent has used up its attempts, the
    compensating one is sent the same work, with the refused value and the reason, in place of the fallback. Its answer
    is judged in turn, and takes the place of the refused one; what is refused then is not compensated again. It is an
    agent as any other: metered, limited, and with the guards of `dispatch`. It is one of the agent's fallbacks, or in
    a team with a planner a worker; a team raises `BadGraph` for any other when it is built.

    `Schema(int)` lets through 7, and stops "seven".
    """

    model: Any = None
    check: Callable[[Any], str | None] | None = None
    compensate: str | None = None
    on_trip: OnTrip = Retry(1)
    gates = frozenset[Gate]({"handoff", "exit"})
    judges_failures: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_fields(self)
        check_compensate(self.compensate)
        try:
            TypeAdapter[Any](self.model)
        except Exception as error:  # pydantic raises whatever it meets in what is no type
            raise BadGraph(f"`model` must be a type that pydantic can check, got {self.model!r:.80}") from error

    def __call__(self, context: GuardContext) -> Verdict:
        """Trip where the value does not fit."""
        reason = self._objection(context.subject)
        return context.verdict(self, trips=reason is not None, reason=reason or "")

    def _objection(self, result: Result) -> str | None:
        if result.error is not None and result.error.kind == "invalid":
            return result.error.message
        if not result.has_value:
            return None
        value: Any = result.value
        if self.model is not None:
            try:
                value = TypeAdapter[Any](self.model).validate_json(json.dumps(value))
            except ValidationError as error:
                return f"the value does not fit: {validation_text(error)}"
        return self._checked(value) if self.check else None

    def _checked(self, value: Any) -> str | None:
        reason = cast("object", self.check(value) if self.check else None)
        if reason is not None and not isinstance(reason, str):
            raise TypeError(f"`check` must return None or a reason, got {reason!r}")
        return reason
