"""The tools by which a model sends messages to its peers, and hands over."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.types import Command
from pydantic import BaseModel, Field, JsonValue, ValidationError, create_model

from guardgraph.agents.agent import Agent
from guardgraph.runtime.execution_context import execution_context
from guardgraph.state import BadInput, Message, Performative, validation_text

__all__ = ("peer_tools",)


class _Commitment(BaseModel):
    """An amount of a unit; no dict of amounts, which OpenAI takes in no strict schema."""

    unit: str = Field(description="such as usd")
    amount: float


def peer_tools(peers: Sequence[Agent]) -> list[BaseTool]:
    """Return the tools `send_message` and `hand_off` of an agent with these peers.

    What does not fit is returned to the model as text, so that it can try again. Messages are sent when the agent has
    ended its work; those of an attempt that fails are not. `hand_off` ends the attempt.
    """
    names = [agent.name for agent in peers]
    roster = "; ".join(f"{one.name} ({', '.join(sorted(one.skills))})" if one.skills else one.name for one in peers)

    def hand_off(to: str, content: str) -> Any:
        if to not in names:
            return f"Not handed over: there is no peer {to!r}, only {', '.join(names)}"
        return Command(goto=to, graph=Command.PARENT, update={"messages": [AIMessage(content)]})

    sending: Any = create_model(
        "send_message",
        recipients=(list[str], Field(description=f"names of peers, or '*' for all of them: {roster}")),
        content=(str, Field(description="what they are to know or to do, understandable alone")),
        performative=(Performative, "inform"),
        in_reply_to=(str | None, Field(None, description="the id of the message that this one answers")),
        commits=(list[_Commitment], Field(default_factory=list, description="what you commit yourself to")),
    )
    handing: Any = create_model(
        "hand_off",
        to=(str, Field(description=f"the name of one peer: {roster}")),
        content=(str, Field(description="what the peer has to know to go on")),
    )
    return [
        StructuredTool.from_function(
            _send_message,
            name="send_message",
            description="Send a message to other agents of your team.",
            args_schema=sending,
        ),
        StructuredTool.from_function(
            hand_off,
            name="hand_off",
            description="Let another agent go on in your place; it ends your work.",
            args_schema=handing,
        ),
    ]


def _send_message(*, commits: Sequence[_Commitment] = (), **fields: JsonValue) -> str:
    execution = execution_context(None)
    outbox = execution.outbox if execution is not None else None
    if outbox is None:
        return "Not sent: this is outside of a team"
    try:
        amounts = {one.unit: Decimal(str(one.amount)) for one in commits}
        message = Message.model_validate({**fields, "commits": amounts})
        outbox.checked(message)
    except ValidationError as error:
        return f"Not sent: {validation_text(error, whole='message')}"
    except BadInput as error:
        return f"Not sent: it {error}"
    outbox.messages.append(message)
    return "It is sent when you have ended this turn; answers come with a later turn."
