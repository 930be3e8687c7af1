"""The opinion in what a reviewer answers."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from guardgraph.state import Opinion, Request, ReviewRequest, Subtask, Task


@pytest.mark.parametrize(
    ("answer", "opinion"),
    [
        (True, Opinion(approved=True)),
        (False, Opinion(approved=False)),
        ({"approved": False, "reason": "rude"}, Opinion(approved=False, reason="rude")),
        ({"approved": True, "confidence": 0.5, "score": 7}, Opinion(approved=True, confidence=0.5)),
    ],
)
def test_an_answer_is_read_as_an_opinion(answer: Any, opinion: Opinion) -> None:
    assert Opinion.of(answer) == opinion


@pytest.mark.parametrize("answer", [None, "yes", 1, [], {}, {"approved": "yes"}, {"approved": 1}, {"reason": "fine"}])
def test_anything_else_is_none(answer: Any) -> None:
    with pytest.raises(ValidationError):
        Opinion.of(answer)


def test_the_goal_of_a_reviewer_is_its_question() -> None:
    asked = ReviewRequest(id="i", result="r", agent="w", question="Is it polite?")
    request = Request(task=Task(goal="T"), subtask=Subtask(id="a", goal="do a"), review=asked)

    assert (request.goal, request.answer) == ("Is it polite?", None)
