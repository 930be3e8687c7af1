from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from guardgraph.state import RunEvent

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ({}, "agent_started"),
        ({"path": ("team", "worker")}, "agent_started team/worker"),
        ({"data": {"goal": "search", "tokens": 7}}, "agent_started goal=search tokens=7"),
        ({"data": {"goal": "find\n  it"}}, "agent_started goal=find it"),
        ({"path": ("a",), "data": {"error": None, "tokens": 0, "usd": "", "attempt": 1}}, "agent_started a attempt=1"),
    ],
)
def test_an_event_is_one_line_of_what_there_is_to_say(facts: Any, line: str) -> None:
    assert str(RunEvent(kind="agent_started", run_id="r", at=NOW, **facts)) == line


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"kind": "party_started"}, "kind"),
        ({"at": datetime(2030, 1, 1)}, "timezone"),  # noqa: DTZ001 - the mistake
        ({"data": {"error": ValueError("x")}}, "data"),
        ({"more": 1}, "Extra inputs are not permitted"),
    ],
)
def test_what_is_no_event_is_refused(facts: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RunEvent.model_validate({"kind": "verdict", "run_id": "r", "at": NOW, **facts})


def test_events_can_be_written_and_read() -> None:
    event = RunEvent(kind="verdict", run_id="r", at=NOW, path=("t",), data={"guard": "Depth", "measured": [1, None]})

    assert RunEvent.model_validate_json(event.model_dump_json()) == event
