"""What happens when a guard trips."""

from __future__ import annotations

from dataclasses import dataclass

from guardgraph.state.argument_checks import check_fields

__all__ = ("Escalate", "Finish", "OnTrip", "Refuse", "Retry")


@dataclass(frozen=True, slots=True)
class Finish:
    """Stop the subject; at `admission`, `round` and `exit` conclude the run with the best there is."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Give the subject back to its agent with the reason, at most `times` times; then do as `Finish`.

    A plan at `round` goes back to its planner. At `admission` and `dispatch` there is no answer yet, and it is as
    `Finish`; a team refuses (`BadGraph`) a guard with `Retry` that judges nowhere else.
    """

    times: int = 1

    def __post_init__(self) -> None:
        check_fields(self, at_least={"times": 0})


@dataclass(frozen=True, slots=True)
class Escalate:
    """End the run for a human to look at, with the best there is."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Refuse the subject for good; at `admission`, `round` and `exit` refuse the run."""


OnTrip = Finish | Retry | Escalate | Refuse
