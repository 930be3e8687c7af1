"""Comparing two checkpoints of the outermost graph, of one thread or of two."""

from __future__ import annotations

from typing import NamedTuple

from langgraph.checkpoint.base import CheckpointTuple

from guardgraph.state import BadInput, UnknownThread
from guardgraph.storage.channel_changes import ChannelChange, changes_between
from guardgraph.storage.sql.checkpoints.saver import SQLSaver

__all__ = ("ThreadDiff", "diff_of")


class ThreadDiff(NamedTuple):
    """What differs between two checkpoints."""

    before: tuple[str, str]
    """The thread and the checkpoint."""
    after: tuple[str, str]
    changes: list[ChannelChange]


def diff_of(saver: SQLSaver, thread_id: str, before: str | None, after: str | None, *, other: str | None) -> ThreadDiff:
    """Return what differs; see `Threads.diff`."""
    if before is None and after is None and other is None:
        parent = _checkpoint(saver, thread_id, None).parent_config
        if parent is None:
            raise BadInput(f"thread {thread_id!r} has one checkpoint only; name another thread to compare it with")
        before = str(parent.get("configurable", {})["checkpoint_id"])
    one, two = _checkpoint(saver, thread_id, before), _checkpoint(saver, other or thread_id, after)
    changes = changes_between(one.checkpoint["channel_values"], two.checkpoint["channel_values"])
    return ThreadDiff((thread_id, one.checkpoint["id"]), (other or thread_id, two.checkpoint["id"]), changes)


def _checkpoint(saver: SQLSaver, thread_id: str, checkpoint_id: str | None) -> CheckpointTuple:
    named = {} if checkpoint_id is None else {"checkpoint_id": checkpoint_id}
    place = {"thread_id": thread_id, "checkpoint_ns": "", **named}
    found = saver.reading_plain(lambda _: None).get_tuple({"configurable": place})
    if found is None and checkpoint_id is not None:
        raise BadInput(
            f"thread {thread_id!r} has no checkpoint {checkpoint_id!r}; "
            f"`guardgraph threads history {thread_id}` lists them"
        )
    if found is None:
        raise UnknownThread(thread_id, url=saver.engine.url.render_as_string(hide_password=True))
    return found
