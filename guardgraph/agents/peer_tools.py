"""The tools by which a model sends messages to its peers, and hands over."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.prebuilt import ToolRuntime
from langgraph.types import Command
from pydantic import BaseModel, Field, JsonValue, ValidationError, create_model

from guardgraph.agents.agent import Agent
from guardgraph.runtime.execution_context import execution_context
from guardgraph.runtime.outbox import Outbox
from guardgraph.state import BadInput, Message, Performative, validation_text

__all__ = ("peer_tools",)


_TRUSTED = {"trusted": True}
"""They return texts of guardgraph alone."""


class _Commitment(BaseModel):
    """An amount of a unit; no dict of amounts, which OpenAI takes in no strict schema."""

    unit: str = Field(description="such as usd")
    amount: float = Field(ge=0, allow_inf_nan=False)


def peer_tools(peers: Sequence[Agent]) -> list[BaseTool]:
    """Return the tools `send_message` and `hand_off` of an agent with these peers.

    What does not fit is returned to the model as text, so that it can try again. Messages are sent when the agent has
    ended its work; those of an attempt that fails are not. `hand_off` ends the attempt.
    """
    names = [agent.name for agent in peers]
    roster = "; ".join(f"{one.name} ({', '.join(sorted(one.skills))})" if one.skills else one.name for one in peers)

    def hand_off(runtime: ToolRuntime, to: str, content: str) -> Any:
        if to not in names:
            return f"Not handed over: there is no peer {to!r}, only {', '.join(names)}"
        outbox = _outbox()
        if outbox is not None:  # of several in one turn LangGraph follows the first `Command`: the outbox has all
            handoff = Message(recipients=(to,), content=content, performative="hand_off")
            outbox.send(handoff, _place(runtime), is_last=True)
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
            metadata=_TRUSTED,
            description="Send a message to other agents of your team.",
            args_schema=sending,
        ),
        StructuredTool.from_function(
            hand_off,
            name="hand_off",
            metadata=_TRUSTED,
            description="Let another agent go on in your place; it ends your work.",
            args_schema=handing,
        ),
    ]


def _send_message(runtime: ToolRuntime, *, commits: Sequence[_Commitment] = (), **fields: JsonValue) -> str:
    outbox = _outbox()
    if outbox is None:
        return "Not sent: this is outside of a team"
    try:
        outbox.send(Message.model_validate({**fields, "commits": _total(commits)}), _place(runtime))
    except ValidationError as error:
        return f"Not sent: {validation_text(error, whole='message')}"
    except BadInput as error:
        return f"Not sent: it {error}"
    return "It is sent when you have ended this turn; answers come with a later turn."


def _outbox() -> Outbox | None:
    execution = execution_context(None)
    return execution.outbox if execution is not None else None


def _place(runtime: Any) -> tuple[int, int]:
    """Return the turn of a model in which a tool is called, and the number of the call: calls of a turn run at once."""
    messages = runtime.state["messages"]
    ids = [call["id"] for call in getattr(messages[-1], "tool_calls", ())]
    return len(messages), ids.index(runtime.tool_call_id) if runtime.tool_call_id in ids else len(ids)


def _total(commits: Sequence[_Commitment]) -> dict[str, Decimal]:
    """Return the amounts by unit: one that is named twice is committed twice."""
    total: dict[str, Decimal] = {}
    for one in commits:
        total[one.unit] = total.get(one.unit, Decimal(0)) + Decimal(str(one.amount))
    return total
