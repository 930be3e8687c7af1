"""What happens when a guard trips."""

from __future__ import annotations

from dataclasses import dataclass

from guardgraph.state.argument_checks import check_fields

__all__ = ("Escalate", "Finish", "OnTrip", "Refuse", "Retry")


@dataclass(frozen=True, slots=True)
class Finish:
    """Stop the subject; at `admission`, `round` and `exit` conclude the run with the best there is.

    At `model` and `tool` stop the attempt before the call; what it has produced is a partial result.
    """


@dataclass(frozen=True, slots=True)
class Retry:
    """Give the subject back to its agent with the reason, at most `times` times; then do as `Finish`.

    A plan at `round` goes back to its planner. At `tool` the tool is not called, and the model gets the reason as its
    answer. At `admission`, `dispatch` and `model` there is no answer yet, and it is as `Finish`; a team refuses
    (`BadGraph`) a guard with `Retry` that judges nowhere else.
    """

    times: int = 1

    def __post_init__(self) -> None:
        check_fields(self, at_least={"times": 0})


@dataclass(frozen=True, slots=True)
class Escalate:
    """End the run for a human to look at, with the best there is."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Refuse the subject for good; at `admission`, `round` and `exit` refuse the run.

    At `model` and `tool` the attempt is stopped, and what it has produced is not used.
    """


OnTrip = Finish | Retry | Escalate | Refuse
