"""Taking threads of LangGraph's own savers over: all of a thread, or nothing of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple

from langgraph.checkpoint.serde.base import CipherProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from sqlalchemy import Connection, select

from guardgraph.state import BadInput, GuardgraphError, StorageCorrupt, Unserializable
from guardgraph.storage.sql.checkpoints.memory import Memory
from guardgraph.storage.sql.checkpoints.recorder import Recorder
from guardgraph.storage.sql.checkpoints.saver import SQLSaver
from guardgraph.storage.sql.checkpoints.storing import draft_writes
from guardgraph.storage.sql.checkpoints.writes import Writes
from guardgraph.storage.sql.engine import read_transaction
from guardgraph.storage.sql.migrate import migrate
from guardgraph.storage.sql.places import NAMESPACE_LENGTH, Place, checked_id
from guardgraph.storage.sql.prepared import KEYS
from guardgraph.storage.sql.statements import namespaces_of_thread
from guardgraph.storage.sql.stock.databases import StockDatabase, opened, thread_ids
from guardgraph.storage.sql.stock.reading import StockCheckpoint, checkpoint_ids, namespaces_of, read_checkpoint
from guardgraph.storage.sql.stock.serializer import StockSerializer
from guardgraph.storage.sql.tables import checkpoints

__all__ = ("ImportFault", "ImportedThread", "aimport_threads", "import_threads")

_FAULTS = 20
"""How many different faults of a thread are reported."""
_EVERY = 100
"""After how many checkpoints progress is reported."""


class ImportFault(NamedTuple):
    """Why a thread is not imported."""

    namespace: str
    checkpoint_id: str
    """The oldest checkpoint that has this fault; empty where it is of the thread."""
    reason: str
    """With the path to a value, such as `messages[3].artifact`."""


@dataclass(frozen=True, slots=True)
class ImportedThread:
    """What became of one thread."""

    thread_id: str
    result: Literal["imported", "importable", "present", "refused"]
    """`importable` is what a dry run would import. `present`: all its checkpoints were there already. `refused`:
    nothing of it was written; the reasons are in `faults`."""
    namespaces: int = 0
    checkpoints: int = 0
    writes: int = 0
    """How many values tasks wrote at its checkpoints."""
    faults: tuple[ImportFault, ...] = ()
    """The first twenty that differ."""


def import_threads(
    url: str,
    into: SQLSaver,
    *,
    threads: Sequence[str] | None = None,
    dry_run: bool = False,
    cipher: CipherProtocol | None = None,
    on_progress: Callable[[str, int], object] | None = None,
) -> Generator[ImportedThread]:
    """Import threads that LangGraph's `SqliteSaver` or `PostgresSaver` has stored, and yield what became of each.

    All of a thread is imported in one transaction: each namespace and checkpoint with its parent, metadata and values,
    and what tasks wrote. Channel versions become numbers in the same order. What tasks wrote at a checkpoint that was
    never stored is left out; LangGraph does not read it either. A thread is first read as a whole, and refused where a
    value in it is of a class that `into` does not store, so make `into` with the `types` of its graph. No class is
    imported by a name that is stored, and nothing is unpickled.

    An import that was interrupted can be repeated: a thread of which all checkpoints are in the target is `present`,
    another one of the same name is `refused`. The source is not changed; each thread is read as it was at one moment.
    While a thread is written, other writers of a SQLite target wait.

    Args:
        url: the database of the threads, such as `sqlite:///old.db` or `postgresql://user@host/name`.
        into: where they go to, with its tenant, types and key.
        threads: which of them; all by default.
        dry_run: read and check them, and write nothing.
        cipher: what the source was encrypted with, as given to LangGraph's `EncryptedSerializer`.
        on_progress: called with a thread and how many of its checkpoints were read, for every hundredth; each is read
            twice, to be checked and to be stored.

    Raises:
        BadInput: the URL is none, or holds no such threads, or not all that `threads` names; nothing is imported.
        MissingExtra: the package of the saver is not installed: `langgraph-checkpoint-sqlite` or `-postgres`.
        StorageError: or a subclass, where one of the databases fails.
    """
    serializer = StockSerializer(into.codec)
    with opened(url, EncryptedSerializer(cipher, serializer) if cipher else serializer) as source:
        for thread in threads or ():
            if not namespaces_of(source, thread):
                raise BadInput(f"{source.place} has no thread {thread!r}; nothing was imported")
        for thread in thread_ids(source) if threads is None else dict.fromkeys(threads):
            with source.snapshot():
                one = _Thread(source, serializer, into, thread, on_progress)
                yield one.checked() if dry_run else one.imported()


async def aimport_threads(
    url: str,
    into: SQLSaver,
    *,
    threads: Sequence[str] | None = None,
    dry_run: bool = False,
    cipher: CipherProtocol | None = None,
    on_progress: Callable[[str, int], object] | None = None,
) -> AsyncIterator[ImportedThread]:
    """Do as `import_threads` without blocking the event loop; `on_progress` is called in a worker thread."""
    options: Any = {"threads": threads, "dry_run": dry_run, "cipher": cipher, "on_progress": on_progress}
    found = import_threads(url, into, **options)
    try:
        while (one := await into.run_in_lane(url, lambda: next(found, None))) is not None:
            yield one
    finally:
        await into.run_in_lane(url, found.close)


class _Refused(Exception):
    """A thread is not imported."""

    def __init__(self, *faults: ImportFault) -> None:
        self.faults = faults
        super().__init__(faults)


@dataclass(slots=True)
class _Thread:
    """One thread, which is read twice."""

    source: StockDatabase
    serializer: StockSerializer
    into: SQLSaver
    thread_id: str
    on_progress: Callable[[str, int], object] | None
    namespaces: int = 0
    checkpoints: int = 0
    writes: int = 0
    faults: dict[str, ImportFault] = field(default_factory=dict[str, ImportFault])

    def checked(self) -> ImportedThread:
        """Return whether the thread can be imported."""
        try:
            with read_transaction(migrate(self.into.engine), thread_id=self.thread_id) as connection:
                if self._is_present(connection):
                    return ImportedThread(self.thread_id, "present")
            self._check()
        except _Refused as refused:
            return ImportedThread(self.thread_id, "refused", faults=refused.faults)
        return self._result("importable")

    def imported(self) -> ImportedThread:
        """Import the thread, unless it is refused, or present."""
        found = self.checked()
        if found.result != "importable":
            return found
        try:
            is_new = Writes(self.into.engine, self.into.codec, self.into.tenant).do(self.thread_id, self._store)
        except _Refused as refused:
            return ImportedThread(self.thread_id, "refused", faults=refused.faults)
        return self._result("imported") if is_new else ImportedThread(self.thread_id, "present")

    def _result(self, result: Literal["imported", "importable"]) -> ImportedThread:
        return ImportedThread(self.thread_id, result, self.namespaces, self.checkpoints, self.writes)

    def _places(self) -> Iterator[Place]:
        """Yield the places of all checkpoints in the target, and count them."""
        self.namespaces = self.checkpoints = self.writes = 0
        for namespace in namespaces_of(self.source, self.thread_id):
            self.namespaces += 1
            for checkpoint_id in checkpoint_ids(self.source, self.thread_id, namespace):
                self.checkpoints += 1
                yield Place(self.thread_id, namespace, checkpoint_id, self.into.tenant)

    def _read(self, place: Place) -> StockCheckpoint:
        found = read_checkpoint(self.source, self.thread_id, place.namespace, place.checkpoint_id or "")
        self.writes += sum(len(task.items) for task in found.tasks)
        if self.on_progress is not None and self.checkpoints % _EVERY == 0:
            self.on_progress(self.thread_id, self.checkpoints)
        return found

    def _is_present(self, connection: Connection) -> bool:
        """Return whether the target has all checkpoints of the thread, or none. Raise where it has another thread."""
        rows = connection.execute(namespaces_of_thread(self.into.tenant, self.thread_id)).all()
        if not rows:
            return False
        numbers = {row.checkpoint_ns: row.namespace_id for row in rows}
        waiting: dict[str, list[str]] = {}
        for place in self._places():
            some = waiting.setdefault(place.namespace, [])
            some.append(place.checkpoint_id or "")
            if len(some) == KEYS:
                self._check_present(connection, numbers.get(place.namespace), waiting.pop(place.namespace))
        for namespace, some in waiting.items():
            self._check_present(connection, numbers.get(namespace), some)
        return True

    def _check_present(self, connection: Connection, namespace_id: int | None, names: Sequence[str]) -> None:
        table = checkpoints.c
        same = select(table.checkpoint_id).where(table.namespace_id == namespace_id, table.checkpoint_id.in_(names))
        there = [] if namespace_id is None else connection.execute(same).scalars().all()
        if missing := set(names).difference(there):
            reason = (
                f"the target has a thread {self.thread_id!r} without its checkpoint {min(missing)!r}: another thread, "
                "or one that was pruned there; delete it if it is not needed, or import into another database"
            )
            raise _Refused(ImportFault("", "", reason))

    def _check(self) -> None:
        """Read the whole thread. Raise where any part of it cannot be stored."""
        for place in self._places():
            for check in self._checks(place):
                try:
                    check()
                except (BadInput, Unserializable, StorageCorrupt) as error:
                    self._add_fault(place, error)
            if len(self.faults) >= _FAULTS:
                break
        if self.faults:
            raise _Refused(*self.faults.values())

    def _checks(self, place: Place) -> Iterator[Callable[[], object]]:
        """Yield what raises where a part of a checkpoint cannot be stored."""
        dumps = self.into.codec.dumps_plain
        found: list[StockCheckpoint] = []
        yield partial(checked_id, "thread_id", place.thread_id)
        yield partial(checked_id, "checkpoint_ns", place.namespace, longest=NAMESPACE_LENGTH)
        yield partial(checked_id, "checkpoint_id", place.checkpoint_id)
        yield lambda: found.append(self._read(place))
        for checkpoint, metadata, _, tasks in found:
            yield partial(dumps, {**checkpoint, "channel_values": None}, where="checkpoint")
            yield partial(dumps, metadata, where="metadata")
            yield partial(checked_id, "run_id", metadata.get("run_id") or "")
            for channel, value in checkpoint["channel_values"].items():
                yield partial(dumps, value, where=channel)
            for task in tasks:
                yield partial(checked_id, "task_id", task.task_id)
                yield partial(draft_writes, self.into.codec, task.items, blobs={})

    def _add_fault(self, place: Place, error: GuardgraphError) -> None:
        reason = "; ".join(dict.fromkeys([str(error), *self.serializer.reasons]))
        self.serializer.reasons.clear()
        self.faults.setdefault(reason, ImportFault(place.namespace, place.checkpoint_id or "", reason))

    def _store(self, connection: Connection) -> bool:
        """Store the thread in an open transaction; return whether it was not there."""
        if self._is_present(connection):
            return False
        writes = Writes(self.into.engine, self.into.codec, self.into.tenant, connection=connection)
        recorder = Recorder(self.into.codec, Memory(), writes, trust_identity=True)
        for place in self._places():
            checkpoint, metadata, parent_id, tasks = self._read(place)
            parent = place._replace(checkpoint_id=parent_id)
            recorder.put(parent, checkpoint, metadata, checkpoint["channel_versions"], by_caller=False).result()
            for task_id, task_path, items in tasks:
                recorder.put_writes(place, {task_id: items}, task_path=task_path).result()
        return True
