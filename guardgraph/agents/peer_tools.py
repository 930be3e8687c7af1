"""The tools by which a model sends messages to its peers, and hands over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any

from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.types import Command
from pydantic import Field, ValidationError

from guardgraph.agents.agent import Agent
from guardgraph.runtime.execution_context import execution_context
from guardgraph.runtime.outbox import Outbox
from guardgraph.state import BadInput, Message, Performative, validation_text

__all__ = ("peer_tools",)


def peer_tools(peers: Sequence[Agent]) -> list[BaseTool]:
    """Return the tools `send_message` and `hand_off` of an agent with these peers.

    What does not fit is returned to the model as text, so that it can try again. Messages are sent when the agent has
    ended its work; those of an attempt that fails are not. `hand_off` ends the attempt.
    """
    names = [agent.name for agent in peers]
    roster = "; ".join(f"{one.name} ({', '.join(sorted(one.skills))})" if one.skills else one.name for one in peers)

    def send_message(
        recipients: Annotated[list[str], Field(description=f"names of peers, or '*' for all: {roster}")],
        content: Annotated[str, Field(description="what they are to know or to do, understandable alone")],
        performative: Performative = "inform",
        in_reply_to: Annotated[str | None, Field(description="the id of the message that this one answers")] = None,
        commits: Annotated[Mapping[str, float] | None, Field(description="what you commit to, by unit")] = None,
    ) -> str:
        try:
            message = Message(
                recipients=tuple(recipients),
                content=content,
                performative=performative,
                in_reply_to=in_reply_to,
                commits={unit: Decimal(str(amount)) for unit, amount in (commits or {}).items()},
            )
            outbox = _outbox()
            outbox.checked(message)
        except ValidationError as error:
            return f"Not sent: {validation_text(error, whole='message')}"
        except BadInput as error:
            return f"Not sent: this {error}"
        outbox.messages.append(message)
        return "It will be sent when you have ended this turn; answers come with a later turn."

    def hand_off(
        to: Annotated[str, Field(description=f"the name of one peer: {roster}")],
        content: Annotated[str, Field(description="what the peer has to know to go on")],
    ) -> Any:
        if to not in names:
            return f"Not handed over: there is no peer {to!r}, only {', '.join(names)}"
        return Command(goto=to, graph=Command.PARENT, update={"messages": [AIMessage(content)]})

    return [
        StructuredTool.from_function(
            send_message, name="send_message", description="Send a message to other agents of your team."
        ),
        StructuredTool.from_function(
            hand_off, name="hand_off", description="Let another agent go on in your place; it ends your work."
        ),
    ]


def _outbox() -> Outbox:
    execution = execution_context(None)
    if execution is None or execution.outbox is None:
        raise BadInput("is sent outside of an agent")
    return execution.outbox
