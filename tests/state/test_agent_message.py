"""Messages between agents: what one may say, and to whom."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from guardgraph.state import EVERYONE, Message


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"recipients": ()}, "at least 1 item"),
        ({"recipients": ("",)}, "at least 1 character"),
        ({"recipients": ("b", "b")}, "names an agent twice"),
        ({"recipients": (EVERYONE, "b")}, "beside other names"),
        ({"recipients": ("a",), "sender": "a"}, "sends a message to itself"),
        ({"recipients": ("b",), "performative": "shout"}, "Input should be 'inform'"),
        ({"recipients": ("b",), "performative": "accept"}, "give its id as `in_reply_to`"),
        ({"recipients": ("b",), "performative": "counter"}, "give its id as `in_reply_to`"),
        ({"recipients": ("b",), "performative": "reject"}, "give its id as `in_reply_to`"),
        ({"recipients": ("b", "c"), "performative": "hand_off"}, "exactly one agent"),
        ({"recipients": (EVERYONE,), "performative": "hand_off"}, "exactly one agent"),
        ({"recipients": ("b",), "commits": {"usd": -1}}, "greater than or equal to 0"),
        ({"recipients": ("b",), "commits": {"usd": "NaN"}}, "finite number"),
        ({"recipients": ("b",), "text": "hello"}, "Extra inputs"),
    ],
)
def test_what_no_message_may_be(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Message.model_validate(fields)


def test_a_message_with_all_it_may_hold() -> None:
    message = Message(recipients=("b",), performative="accept", in_reply_to="p1", commits={"usd": Decimal(450)})

    assert Message.model_validate_json(message.model_dump_json()) == message
