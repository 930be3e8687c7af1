"""The exit codes of the command."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from guardgraph.state import errors

if TYPE_CHECKING:
    from guardgraph.runs.run import Run

__all__ = ("ExitCode", "code_of_error", "code_of_run")

_CALLERS = (
    errors.BadGraph,
    errors.BadInput,
    errors.EffectBusy,
    errors.MigrationFailed,
    errors.MigrationNeeded,
    errors.MissingExtra,
    errors.MissingKey,
    errors.NotADatabase,
    errors.StorageReadOnly,
    errors.StorageUnavailable,
    errors.ThreadBusy,
    errors.UnknownGraph,
    errors.UnknownModel,
    errors.UnknownThread,
    errors.WrongKey,
)


class ExitCode(IntEnum):
    """The exit codes of the command."""

    OK = 0
    """An answer was written, maybe a degraded one."""
    ERROR = 1
    """Something failed that the caller could not foresee."""
    BAD_INPUT = 2
    """The input does not fit; nothing was lost."""
    NO_VALUE = 3
    """A guard left no answer, or the run was cancelled before there was one."""
    WAITING = 4
    """The run waits for a human."""
    REGRESSION = 5
    """An eval failed, or got worse."""
    DAMAGED = 6
    """Stored data is damaged."""
    INTERRUPTED = 130
    """Ctrl-C; the run can be resumed."""


def code_of_error(error: errors.GuardgraphError) -> ExitCode:
    """Return 2 for an error that the caller can correct in the call or its environment, else 1."""
    return ExitCode.BAD_INPUT if isinstance(error, _CALLERS) else ExitCode.ERROR


def code_of_run(run: Run) -> ExitCode:
    """Return the exit code of a run."""
    outcome = run.outcome
    if outcome is None:
        return ExitCode.WAITING if run.status == "waiting" else ExitCode.INTERRUPTED
    if outcome.status == "completed" or (outcome.value is not None and outcome.status != "failed"):
        return ExitCode.OK
    stopped = outcome.status in ("cancelled", "escalated", "refused") or outcome.stopped_by is not None
    return (
        ExitCode.NO_VALUE
        if stopped or any(gap.guard and not gap.is_external for gap in outcome.gaps)
        else ExitCode.ERROR
    )
