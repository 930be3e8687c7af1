"""Which checkpoints of a thread are needed, and which are not any more: pure decisions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from guardgraph.state import BadInput

__all__ = ("CheckpointKey", "Retention", "StoredCheckpoint", "is_lasting", "lineage", "with_ancestors", "with_nested")

CheckpointKey = tuple[str, str]
"""The namespace and the id of a checkpoint."""


class StoredCheckpoint(NamedTuple):
    """What is known of a checkpoint without the values of its channels."""

    namespace: str
    checkpoint_id: str
    parent_id: str | None
    created: datetime
    run_id: str | None = None
    parents: Mapping[str, str] = {}
    """The checkpoints of the graphs around it, by their namespaces; empty for the outermost graph."""
    stored: frozenset[str] = frozenset()
    """The channels whose values it has."""
    rebuilt: frozenset[str] = frozenset()
    """The delta channels that are rebuilt from its ancestors."""

    @property
    def key(self) -> CheckpointKey:
        """Its namespace and its id."""
        return self.namespace, self.checkpoint_id


@dataclass(frozen=True, slots=True)
class Retention:
    """Which checkpoints of a thread are kept: a checkpoint goes only if no rule here keeps it.

    The newest one is always kept, as is whatever a kept one needs: the ancestors from which a delta channel is rebuilt,
    and the checkpoints of nested graphs that began on it.
    """

    keep: int | None = None
    """So many of the newest checkpoints of the outermost graph are kept."""
    older_than: timedelta | None = None
    """Checkpoints that are not older than this are kept."""
    keep_forks: bool = True
    """The newest checkpoint of every branch is kept, and those at which branches part."""

    def __post_init__(self) -> None:
        if self.keep is None and self.older_than is None:
            raise BadInput("name what is kept: `keep`, `older_than` or both")
        if self.keep is not None and self.keep < 1:
            raise BadInput(f"`keep` must be at least 1, got {self.keep!r}")
        if self.older_than is not None and self.older_than < timedelta(0):
            raise BadInput(f"`older_than` must not be negative, got {self.older_than!r}")

    def __call__(self, checkpoints: Iterable[StoredCheckpoint], now: datetime) -> frozenset[CheckpointKey]:
        """Return the checkpoints of a thread that go; `now` is an aware time."""
        found = {one.key: one for one in checkpoints}
        of_namespace: dict[str, list[StoredCheckpoint]] = {}
        for one in sorted(found.values(), key=lambda one: one.checkpoint_id, reverse=True):
            of_namespace.setdefault(one.namespace, []).append(one)
        kept: set[CheckpointKey] = set()
        for namespace, newest_first in of_namespace.items():
            outermost = [one for one in newest_first if not one.parents]
            kept.update(one.key for one in self._chosen(outermost, now))
            if is_lasting(namespace):
                kept.add(newest_first[0].key)
        return frozenset(found) - with_ancestors(with_nested(kept, found), found)

    def _chosen(self, newest_first: Sequence[StoredCheckpoint], now: datetime) -> Iterator[StoredCheckpoint]:
        """Yield the checkpoints of the outermost graph that a rule keeps."""
        children = Counter(one.parent_id for one in newest_first)
        for number, one in enumerate(newest_first):
            is_young = self.older_than is not None and one.created >= now - self.older_than
            is_fork = self.keep_forks and children[one.checkpoint_id] != 1
            if number < (self.keep or 1) or is_young or is_fork:
                yield one


def lineage(
    found: Mapping[CheckpointKey, StoredCheckpoint], checkpoint_id: str, *, with_work: bool
) -> frozenset[CheckpointKey]:
    """Return a checkpoint of the outermost graph with all that it comes from, and nothing of other branches.

    With `with_work` that is also what the nested graphs that began on it have done.
    """
    chain, at = set[CheckpointKey](), found.get(("", checkpoint_id))
    while at is not None and at.key not in chain:
        chain.add(at.key)
        at = found.get(("", at.parent_id)) if at.parent_id else None
    before = chain if with_work else chain - {("", checkpoint_id)}
    newest: dict[str, str] = {}
    for one in found.values():
        if one.parents and is_lasting(one.namespace) and before.issuperset(one.parents.items()):
            newest[one.namespace] = max(one.checkpoint_id, newest.get(one.namespace, ""))
    work = with_nested({("", checkpoint_id)}, found) if with_work else set[CheckpointKey]()
    return with_ancestors({*chain, *newest.items(), *work}, found)


def is_lasting(namespace: str) -> bool:
    """Return whether a namespace belongs to no single task, so that later runs go on with its newest checkpoint."""
    return ":" not in namespace


def with_nested(kept: Iterable[CheckpointKey], found: Mapping[CheckpointKey, StoredCheckpoint]) -> set[CheckpointKey]:
    """Return checkpoints with those of the nested graphs that began on them, at every level."""
    needed = set(kept)
    for one in sorted(found.values(), key=lambda one: len(one.parents)):
        if one.parents and needed.issuperset(one.parents.items()):
            needed.add(one.key)
    return needed


def with_ancestors(
    kept: Iterable[CheckpointKey], found: Mapping[CheckpointKey, StoredCheckpoint]
) -> frozenset[CheckpointKey]:
    """Return checkpoints with the ancestors from which their delta channels are rebuilt."""
    needed: set[CheckpointKey] = set()
    for key in kept:
        needed.add(key)
        at, missing = found[key], found[key].rebuilt
        while missing and at.parent_id is not None and (above := (at.namespace, at.parent_id)) in found:
            needed.add(above)
            at = found[above]
            missing -= at.stored
    return frozenset(needed)
