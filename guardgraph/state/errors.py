"""Every error that guardgraph raises: one base, one subclass for each thing that a caller can do about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from glob import escape
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from guardgraph.state.board import BoardEntry

__all__ = (
    "BadGraph",
    "BadInput",
    "BoardConflict",
    "BoardDenied",
    "EffectBusy",
    "EffectUnknown",
    "GuardgraphError",
    "MigrationFailed",
    "MigrationNeeded",
    "MissingExtra",
    "MissingKey",
    "NotADatabase",
    "PatternError",
    "RateLimitExceeded",
    "RunEnded",
    "RunStranded",
    "RunUnfinished",
    "StaleWriter",
    "StorageBusy",
    "StorageCorrupt",
    "StorageError",
    "StorageFull",
    "StorageReadOnly",
    "StorageUnavailable",
    "ThreadBusy",
    "TooLarge",
    "UnknownGraph",
    "UnknownModel",
    "UnknownThread",
    "Unserializable",
    "WrongKey",
)


class GuardgraphError(Exception):
    """The base of every error of guardgraph; catch it to catch them all. Errors can be pickled, with their facts."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, (type(self), self.args, self.__dict__)


class BadGraph(GuardgraphError, ValueError):
    """A graph, an agent or a guard is declared wrongly; the declaration must change. Raised while it is built."""


class BadInput(GuardgraphError, ValueError):
    """The input of a run, or an argument, is invalid; it must change. Nothing was started or stored."""


class PatternError(GuardgraphError, RuntimeError):
    """A route of a pattern raised, or sent an agent what is no request; mend the route, then resume the thread."""

    def __init__(self, what: str, *, node: str) -> None:
        self.node = node
        super().__init__(f"{what}; mend the route, then resume the thread")


class RunEnded(BadInput):
    """A run has ended: nothing about it can be changed any more. Its thread can be given another run."""

    def __init__(
        self,
        run_id: str,
        *,
        thread_id: str,
        status: str,
        stopped_by: str | None = None,
        action: Literal["resume", "update", "cancel"] = "resume",
    ) -> None:
        self.run_id, self.thread_id, self.status, self.stopped_by = run_id, thread_id, status, stopped_by
        self.action = action
        by = f", stopped by {stopped_by}" if stopped_by else ""
        why, how = {
            "resume": ("it takes no answers and no more allowance", ", with larger limits where it was stopped"),
            "update": ("its state cannot be updated", ""),
            "cancel": ("there is nothing to cancel", ""),
        }[action]
        super().__init__(
            f"run {run_id!r} has ended ({status}{by}), so {why}; "
            f"begin another on its thread{how}: run(…, thread_id={thread_id!r})"
        )


class RunUnfinished(BadInput):
    """A thread has a run that has not ended: it runs, waits, was stopped or has died. Resume it, or cancel it."""

    def __init__(self, run_id: str, *, thread_id: str) -> None:
        self.run_id, self.thread_id = run_id, thread_id
        super().__init__(
            f"thread {thread_id!r} has a run that has not ended ({run_id!r}); go on with it by resume({thread_id!r}), "
            f"end it by cancel({thread_id!r}), or name another thread"
        )


class ThreadBusy(GuardgraphError, RuntimeError):
    """A thread is worked on, here or in another process; wait, or stop that. Nothing was started or stored."""

    def __init__(self, thread_id: str, *, run_id: str, owner: str, until: datetime) -> None:
        """`owner` is host:process:number of the runner that works on it, `until` when its lease runs out (UTC)."""
        self.thread_id, self.run_id, self.owner, self.until = thread_id, run_id, owner, until
        super().__init__(
            f"thread {thread_id!r} is worked on by {owner!r} (run {run_id!r}) until it is done, or, if that has died, "
            f"until its lease runs out at {until:%H:%M:%S} UTC; wait for it, as by Runner(if_busy='wait'), or stop it "
            f"by drain(thread_id={thread_id!r}) or cancel({thread_id!r})"
        )


class RunStranded(BadInput):
    """A run's state was changed by LangGraph's `update_state` so that no node is next; name the next one."""

    def __init__(self, run_id: str, *, thread_id: str) -> None:
        self.run_id, self.thread_id = run_id, thread_id
        super().__init__(
            f"run {run_id!r} on thread {thread_id!r} has nothing to do next and no outcome: `update_state` has dropped "
            "what waited; say where it goes on, as in graph.update_state(config, Command(goto='guard_handoff'), "
            f"as_node='guard_admission'), or end it by cancel({thread_id!r}); Runner.update(thread_id, …) in place of "
            "`update_state` keeps what waits"
        )


class UnknownGraph(GuardgraphError, LookupError):
    """A thread was made by a graph that this runner does not know; register it under that name."""

    def __init__(self, name: str, *, registered: Iterable[str]) -> None:
        self.name, self.registered = name, tuple(sorted(registered))
        known = ", ".join(map(repr, self.registered)) or "none"
        super().__init__(
            f"no graph is registered as {name!r} (registered: {known}); "
            f"pass it to the runner: Runner(url, graphs={{{name!r}: build}})"
        )


class UnknownThread(GuardgraphError, LookupError):
    """No run was ever started on this thread in this database."""

    def __init__(self, thread_id: str, *, url: str, has_checkpoints: bool = False) -> None:
        """`has_checkpoints`: a graph has stored the thread without a `Runner`, or it was imported."""
        self.thread_id, self.url, self.has_checkpoints = thread_id, url, has_checkpoints
        super().__init__(
            f"thread {thread_id!r} in {url} has checkpoints, but no run of a Runner: go on with its graph, "
            "compiled with SQLSaver as its checkpointer"
            if has_checkpoints
            else f"no thread {thread_id!r} in {url}; list the threads with `guardgraph threads list`"
        )


class MissingExtra(GuardgraphError, ImportError):
    """An optional package is needed for this; install what the message names: an extra, or a package of another's."""

    def __init__(self, package: str, *, extra: str | None = None, needed_for: str) -> None:
        self.package, self.extra, self.needed_for = package, extra, needed_for
        wanted = f"'guardgraph[{extra}]'" if extra else package
        super().__init__(f"{needed_for} needs {package!r}; install it with `pip install {wanted}`")


class UnknownModel(GuardgraphError, ValueError):
    """A model string names no model that can be made here."""

    def __init__(self, model: str, reason: str) -> None:
        self.model, self.reason = model, reason
        super().__init__(f"cannot make a model of {model!r}: {reason}")


class MissingKey(GuardgraphError, LookupError):
    """A model provider needs a key that the environment does not hold."""

    def __init__(self, model: str, *, variable: str) -> None:
        self.model, self.variable = model, variable
        super().__init__(f"model {model!r} needs a key: set {variable}, or choose `offline:extractive` (needs none)")


class BoardConflict(GuardgraphError, RuntimeError):
    """The entry of a board is not at the version that was expected: somebody has written it meanwhile.

    Nothing was written. Look at `current` and write again with its version.
    """

    def __init__(self, board: str, key: str, *, expected: int, current: BoardEntry | None) -> None:
        """`current` is the version that the entry is at, perhaps one that deletes it; `None` where it has none."""
        self.board, self.key, self.expected, self.current = board, key, expected, current
        found = "it does not exist" if current is None else f"it is at version {current.version} by {current.author!r}"
        if current is not None and current.is_deleted:
            found = f"{found}, which deletes it"
        wanted = f"version {expected}" if expected else "none"
        again = 0 if current is None or current.is_deleted else current.version
        super().__init__(
            f"entry {key!r} of board {board!r} was expected at {wanted}, but {found}; nothing was written: read it, "
            f"and write again with expect={again}"
        )


class BoardDenied(GuardgraphError, PermissionError):
    """An agent has no grant for an entry of a board, or its attempt has ended. Nothing was written.

    `author` is who has tried, `agent` whose grant is missing: in a nested team that of the agent that is the team.
    """

    def __init__(
        self,
        board: str,
        key: str,
        *,
        author: str,
        action: Literal["read", "write"],
        agent: str | None = None,
        has_ended: bool = False,
    ) -> None:
        self.board, self.key, self.author, self.action, self.has_ended = board, key, author, action, has_ended
        self.agent = author if agent is None else agent
        grant = f"grant it where the team is built: Board({board!r}, {action}={{{self.agent!r}: ({escape(key)!r},)}})"
        why = "its attempt has ended; write before the agent answers" if has_ended else grant
        super().__init__(f"{author!r} may not {action} {key!r} of board {board!r}; {why}")


class EffectBusy(GuardgraphError, RuntimeError):
    """Somebody else is at this side effect at this moment; try again."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"effect {key!r} is in progress, in this process or another one; try again when it has ended")


class EffectUnknown(GuardgraphError, RuntimeError):
    """A side effect was begun and its end was never recorded; it may have happened or not. It is not made again."""

    def __init__(self, key: str, *, since: datetime) -> None:
        self.key, self.since = key, since
        super().__init__(
            f"effect {key!r} may have happened or not: begun at {since:%Y-%m-%d %H:%M:%S} UTC, its end was not "
            "recorded; look at its target, then `guardgraph effects resolve`, or pass check=; in Python: "
            "guardgraph.runs.effects.resolve(key, Done(…) or NotDone(), saver=…)"
        )


class RateLimitExceeded(GuardgraphError, TimeoutError):
    """The turn of a call under a rate limit would come after its deadline; raise the limit, or give it more time."""

    def __init__(self, name: str, limit: str, *, wait: float, within: float) -> None:
        self.name, self.limit, self.wait, self.within = name, limit, wait, within
        super().__init__(
            f"the rate limit of {name!r} ({limit}) grants its next turn in {wait:.1f} s, "
            f"and only {within:.1f} s are left"
        )


class StorageError(GuardgraphError):
    """The base of all storage faults. `thread_id` is set where one thread is concerned; the thread can be resumed."""

    def __init__(self, message: str, *, thread_id: str | None = None) -> None:
        self.thread_id = thread_id
        super().__init__(message)


class StorageUnavailable(StorageError, ConnectionError):
    """The database cannot be reached or opened; bring it back, then resume."""


class StorageBusy(StorageError, TimeoutError):
    """The database was locked for longer than the configured timeout; try again."""


class StaleWriter(StorageError, RuntimeError):
    """Another process has taken over the thread, or the run has ended: nothing of this was written; stop working."""

    def __init__(self, thread_id: str, *, epoch: int) -> None:
        """`epoch` is the number of the lease under which it was to be written."""
        self.epoch = epoch
        what = f"lease {epoch} of thread {thread_id!r} has ended"
        super().__init__(
            f"{what}: another process works on it, or its run is over; nothing was written", thread_id=thread_id
        )


class StorageFull(StorageError, OSError):
    """The disk or the quota of the database is full; free some space, then resume."""


class StorageReadOnly(StorageError, PermissionError):
    """The database cannot be written; fix the permissions, then resume."""


class StorageCorrupt(StorageError, ValueError):
    """Stored data cannot be read back as what was stored.

    `checkpoint_id` and `column` are set where the data of one checkpoint is concerned: a column of its row, or the
    channel whose value is damaged. `SQLSaver.verify` finds all of them in a thread, `SQLSaver.repair` drops them.
    """

    def __init__(
        self,
        message: str,
        *,
        thread_id: str | None = None,
        checkpoint_id: str | None = None,
        column: str | None = None,
    ) -> None:
        self.checkpoint_id, self.column = checkpoint_id, column
        super().__init__(message, thread_id=thread_id)


class WrongKey(StorageError, PermissionError):
    """Stored data was encrypted with another key than the one that was passed, or only one of the two has a key."""


class NotADatabase(StorageCorrupt):
    """The file that is named as a database is none; name another one."""


class Unserializable(StorageError, TypeError):
    """A value is of a type that is not stored; register the type, or keep it out of the state."""


class TooLarge(Unserializable):
    """A value is larger than the database takes; raise the limit of the server, or keep it out of the state."""

    def __init__(self, message: str, *, thread_id: str | None = None, size: int = 0, limit: int = 0) -> None:
        """`size` is that of the row, `limit` that of a statement, both in bytes; 0 where they are unknown."""
        self.size, self.limit = size, limit
        super().__init__(message, thread_id=thread_id)


class MigrationNeeded(StorageError, RuntimeError):
    """What is stored belongs to another version: of guardgraph, or of the graph that has left a run unfinished."""

    def __init__(
        self,
        message: str,
        *,
        thread_id: str | None = None,
        url: str = "",
        found: str = "",
        known: str = "",
        changed: Sequence[str] = (),
    ) -> None:
        """`found` is the revision or the version that is stored, `known` that of today.

        `changed` are the nodes at which a thread was left and that are gone, and what is wrong with its channels.
        """
        self.url, self.found, self.known, self.changed = url, found, known, tuple(changed)
        super().__init__(message, thread_id=thread_id)


class MigrationFailed(StorageError, RuntimeError):
    """A registered migration raised, or returned what its graph cannot hold; mend it, then resume."""

    def __init__(self, what: str, *, thread_id: str | None = None) -> None:
        super().__init__(f"{what}; nothing was written: mend it, then resume the thread", thread_id=thread_id)


def _remade(kind: type[GuardgraphError], arguments: tuple[Any, ...], facts: dict[str, Any]) -> GuardgraphError:
    error = kind.__new__(kind)
    super(GuardgraphError, error).__init__(*arguments)  # the builtin's own, with the finished message
    error.__dict__.update(facts)
    return error
