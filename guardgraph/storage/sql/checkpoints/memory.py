"""What a saver remembers of the threads that it has read and written, so that it stores only what is new.

Whatever is remembered belongs to one generation of a namespace: whoever deletes values begins another one, and a
transaction that relies on an older one is refused and made again without memories.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from threading import RLock
from typing import Any, NamedTuple

from guardgraph.storage.sql.checkpoints.lists import KnownList
from guardgraph.storage.sql.checkpoints.packing import Entry

__all__ = ("Manifest", "Memory", "Namespace", "Remembered")

_NAMESPACES = 1024
_ELEMENTS = 200_000
_MANIFESTS = 8
_BLOBS = 512


class Namespace(NamedTuple):
    """The row of a namespace, as far as it does not change with every checkpoint."""

    namespace_id: int
    generation: int


class Manifest(NamedTuple):
    """Where the values of one checkpoint are."""

    versions: Mapping[str, Any]
    entries: Mapping[str, Entry]


@dataclass(slots=True)
class Remembered:
    """What is remembered of one namespace."""

    namespace: Namespace
    manifests: OrderedDict[str, Manifest] = field(default_factory=OrderedDict[str, Manifest])
    lists: dict[str, list[KnownList]] = field(default_factory=dict[str, list[KnownList]])
    """By channel, the one that was stored last first; the second is the one that was read last."""
    blobs: OrderedDict[bytes, None] = field(default_factory=OrderedDict[bytes, None])
    closed: set[int] = field(default_factory=set[int])
    """Branches to which somebody else has appended."""
    tasks: OrderedDict[str, set[bytes]] = field(default_factory=OrderedDict[str, set[bytes]])
    """By checkpoint, the marks of the tasks whose writes there are stored."""
    was_read: bool = False
    """Whether a list was read since a checkpoint was stored: it may be one that goes on already."""

    @property
    def elements(self) -> int:
        """How many elements of lists are held."""
        return sum(len(known.tokens) for some in self.lists.values() for known in some)


class Memory:
    """What a saver remembers, by the names of namespaces; the oldest is forgotten where it gets too much."""

    def __init__(self) -> None:
        self._of: OrderedDict[bytes, Remembered] = OrderedDict()
        self._elements = 0
        self._lock = RLock()

    def get(self, name: bytes) -> Remembered | None:
        """Return what is remembered of a namespace."""
        with self._lock:
            if name in self._of:
                self._of.move_to_end(name)
            return self._of.get(name)

    def at(self, name: bytes, namespace: Namespace) -> Remembered:
        """Return what is remembered of a namespace in this generation; anything older is forgotten."""
        with self._lock:
            found = self.get(name)
            if found is None or found.namespace != namespace:
                self.forget(name)
                found = self._of[name] = Remembered(namespace)
            return found

    def forget(self, *names: bytes) -> None:
        """Forget all about some namespaces."""
        with self._lock:
            for name in names:
                if found := self._of.pop(name, None):
                    self._elements -= found.elements

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._of.clear()
            self._elements = 0

    def close_branches(self, name: bytes, branches: Iterable[int]) -> None:
        """Append no more to some branches: somebody else has."""
        with self._lock:
            if found := self.get(name):
                found.closed.update(branches)

    def stored_blobs(self, name: bytes, namespace: Namespace, keys: Iterable[bytes]) -> None:
        """Remember that these blobs are stored."""
        with self._lock:
            known = self.at(name, namespace).blobs
            for key in keys:
                known[key] = None
                known.move_to_end(key)
            while len(known) > _BLOBS:
                known.popitem(last=False)

    def stored_writes(self, name: bytes, namespace: Namespace, checkpoint_id: str, marks: Iterable[bytes]) -> None:
        """Remember that what these tasks wrote at a checkpoint is stored."""
        with self._lock:
            known = self.at(name, namespace).tasks
            known.setdefault(checkpoint_id, set()).update(marks)
            known.move_to_end(checkpoint_id)
            while len(known) > _MANIFESTS:
                known.popitem(last=False)

    def lost_writes(self, name: bytes, checkpoint_id: str, marks: Iterable[bytes]) -> None:
        """Remember that what these tasks wrote may not be stored."""
        with self._lock:
            if found := self.get(name):
                found.tasks.get(checkpoint_id, set()).difference_update(marks)

    def tasks_at(self, name: bytes, checkpoint_id: str | None) -> frozenset[bytes]:
        """Return the marks of tasks whose writes at a checkpoint are stored; some may be missing."""
        with self._lock:
            found = self.get(name)
            return frozenset(found.tasks.get(checkpoint_id or "", ()) if found else ())

    def stored_checkpoint(
        self, name: bytes, namespace: Namespace, checkpoint_id: str, manifest: Manifest, lists: Mapping[str, KnownList]
    ) -> None:
        """Remember a checkpoint that was stored, and its lists."""
        with self._lock:
            found = self._with_manifest(name, namespace, checkpoint_id, manifest)
            found.was_read = False
            for channel, known in lists.items():
                self._set(found, channel, [known, *found.lists.get(channel, ())[1:2]])
            self._make_room()

    def read_checkpoint(
        self, name: bytes, namespace: Namespace, checkpoint_id: str, manifest: Manifest, lists: Mapping[str, KnownList]
    ) -> None:
        """Remember a checkpoint that was read, and its lists beside those of a run that may go on meanwhile."""
        with self._lock:
            found = self._with_manifest(name, namespace, checkpoint_id, manifest)
            found.was_read = found.was_read or bool(lists)
            for channel, known in lists.items():
                self._set(found, channel, [*found.lists.get(channel, ())[:1], known])
            self._make_room()

    def _with_manifest(self, name: bytes, namespace: Namespace, checkpoint_id: str, manifest: Manifest) -> Remembered:
        found = self.at(name, namespace)
        found.manifests[checkpoint_id] = manifest
        found.manifests.move_to_end(checkpoint_id)
        while len(found.manifests) > _MANIFESTS:
            found.manifests.popitem(last=False)
        return found

    def _set(self, found: Remembered, channel: str, lists: list[KnownList]) -> None:
        self._elements -= sum(len(known.tokens) for known in found.lists.get(channel, ()))
        self._elements += sum(len(known.tokens) for known in lists)
        found.lists[channel] = lists

    def _make_room(self) -> None:
        while len(self._of) > 1 and (len(self._of) > _NAMESPACES or self._elements > _ELEMENTS):
            _, gone = self._of.popitem(last=False)
            self._elements -= gone.elements
