"""Random histories of a thread, compared with LangGraph's saver in memory."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import Checkpoint, empty_checkpoint
from langgraph.checkpoint.memory import InMemorySaver

from guardgraph.storage import SQLSaver
from tests.storage.sql.stored import config_of, id_of

CHANGES = st.sampled_from(["append", "append", "append", "many", "edit", "remove", "clear", "small", "mutate", "same"])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "put", "fork", "restart", "read", "other", "prune"]),
        CHANGES,
        st.integers(0, 50),
        st.booleans(),
    ),
    max_size=25,
)


class Threads:
    """One thread, kept by both savers; `log` and `other` are its channels."""

    def __init__(self, url: str) -> None:
        self.url, self.counter = url, 0
        self.savers = [SQLSaver.from_url(url), SQLSaver.from_url(url)]
        self.known = InMemorySaver()
        self.log: list[Any] = []
        self.versions: dict[str, int] = {}
        self.made: list[RunnableConfig] = []
        self.at: RunnableConfig = config_of("t")

    @property
    def saver(self) -> SQLSaver:
        return self.savers[0]

    def close(self) -> None:
        for saver in self.savers:
            saver.close()

    def step(self, action: str, change: str, at: int, is_large: bool) -> None:
        if action == "restart":
            self.saver.close()
            self.savers[0] = SQLSaver.from_url(self.url)
        elif action == "other":
            self.savers.reverse()
        elif action == "read":
            self.load(self.at)
        elif action == "fork" and self.made:
            self.load(self.made[at % len(self.made)])
        elif action == "prune" and at < 5:
            self.saver.prune(["t"])
            self.made = [item.config for item in self.saver.list(config_of("t"))][::-1]
            self.load(self.made[-1] if self.made else config_of("t"))
            self.savers[1].get_tuple(config_of("t"))
        else:
            self.put(change, at, is_large)

    def load(self, config: RunnableConfig) -> None:
        """Go on from a checkpoint as a graph does: with what the saver returns."""
        if not self.made:
            return
        found = self.saver.get_tuple(config)
        assert found is not None
        self.at, self.log = config, found.checkpoint["channel_values"].get("log", [])
        self.versions = dict(found.checkpoint["channel_versions"])  # type: ignore[arg-type]

    def put(self, change: str, at: int, is_large: bool) -> None:
        self.counter += 1
        item: Any = {"n": [self.counter]} if at % 2 else f"{self.counter}"
        if is_large:
            item = {"text": "x" * 300, "n": [self.counter]}
        log, where = self.log, at % (len(self.log) or 1)
        self.log = {
            "append": [*log, item],
            "many": log + [f"{item} {n}" for n in range(at * 2)],
            "edit": [*log[:where], item, *log[where + 1 :]],
            "remove": log[:where] + log[where + 1 :],
            "clear": [],
            "small": [item],
        }.get(change, log)
        if change == "mutate" and log and isinstance(log[where], dict):
            log[where]["n"].append(self.counter)
        new: dict[str, Any] = {"log": self.counter} if change != "same" else {"other": self.counter}
        self.versions = {**self.versions, **new}
        checkpoint: Checkpoint = {
            **empty_checkpoint(),
            "channel_values": {"log": self.log, "other": "y" * at * 10},
            "channel_versions": self.versions,  # type: ignore[typeddict-item]
        }
        if "other" not in self.versions:
            del checkpoint["channel_values"]["other"]
        if "log" not in self.versions:
            del checkpoint["channel_values"]["log"]
        writes = [("log", [item]), ("other", at)]
        for saver in (self.saver, self.known):
            made = saver.put(self.at, checkpoint, {"step": self.counter}, new)
            saver.put_writes(made, writes, f"task {at}")
        self.at = {"configurable": {"thread_id": "t", "checkpoint_ns": "", "checkpoint_id": checkpoint["id"]}}
        self.made.append(self.at)

    def compare(self) -> None:
        fresh = SQLSaver.from_url(self.url)
        for config in self.made:
            expected = self.known.get_tuple(config)
            assert expected is not None
            for saver in (*self.savers, fresh):
                found = saver.get_tuple(config)
                assert found is not None
                assert found.checkpoint == expected.checkpoint
                assert found.pending_writes == expected.pending_writes
        assert [id_of(item.config) for item in fresh.list(config_of("t"))] == [id_of(item) for item in self.made][::-1]
        assert fresh.verify("t") == []
        fresh.close()


@settings(max_examples=70, deadline=None)
@given(steps=STEPS)
def test_any_history_is_what_langgraphs_own_saver_keeps(steps: list[tuple[str, str, int, bool]]) -> None:
    with TemporaryDirectory() as folder:
        threads = Threads(f"sqlite:///{Path(folder) / 'guardgraph.db'}")
        try:
            for step in steps:
                threads.step(*step)
            threads.compare()
        finally:
            threads.close()
