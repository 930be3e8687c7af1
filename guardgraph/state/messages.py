"""Messages and other input of a team besides its task, as fields of its schemas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Generic, TypeAlias, TypeVar, get_args

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, WithJsonSchema
from pydantic_core import CoreSchema, PydanticOmit, core_schema

from guardgraph.state.errors import BadInput
from guardgraph.state.task import Task

__all__ = ("MESSAGE_LIST", "Documented", "Messages", "OptionalInput", "TaskInput", "merge_messages")

Item = TypeVar("Item")

MESSAGE_LIST: dict[str, Any] = {
    "type": "array",
    "title": "Messages",
    "description": "The conversation, oldest first: LangChain messages, or objects such as "
    '{"role": "user", "content": "…"}.',
    "langgraph_type": "messages",
    "items": {
        "type": "object",
        "additionalProperties": True,
        "properties": {
            "role": {"type": "string", "description": "`user`, `assistant`, `tool` or `system`; or `type`"},
            "type": {"type": "string", "description": "`human`, `ai`, `tool` or `system`; or `role`"},
            "content": {"anyOf": [{"type": "string"}, {"type": "array", "items": {}}]},
            "id": {"type": "string"},
            "name": {"type": "string"},
        },
        "required": ["content"],
    },
}
"""The schema of all message classes of LangChain has 30 kB; a tool and an agent server hand it to a model."""

Messages: TypeAlias = Annotated[list[Any], WithJsonSchema(MESSAGE_LIST)]
"""A list of LangChain messages."""


class TaskInput:
    """A task, its fields, or just its goal; as a field of a tool it is shown to the model as the goal.

    LangChain makes a tool of a graph from the bare types of its input. A JSON schema shows the whole type where it
    is annotated as `Documented`.
    """

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate a task in each of its forms."""
        return handler.generate_schema(_plain(source))

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> Any:
        """Show a string."""
        return {"type": "string", "description": "What is to be done, in full sentences."}


class OptionalInput(list[Item], Generic[Item]):
    """A list that a caller may leave out; as a field of a tool it is not shown to the model.

    A tool that LangChain makes of a graph requires every field; this type brings a default of its own. A JSON
    schema shows it only where it is annotated as `Documented`.
    """

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate a list of the items; the default is an empty one."""
        return core_schema.with_default_schema(handler.generate_schema(_plain(source)), default_factory=list)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> Any:
        """Leave the field out."""
        raise PydanticOmit


class Documented:
    """Shows a `TaskInput` or an `OptionalInput` in a JSON schema as all that it takes."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate as the actual type."""
        return handler.generate_schema(_plain(source))


def merge_messages(left: Sequence[Any] | None, right: Any) -> list[Any]:
    """Add messages, or replace those with the same id, as LangGraph's `add_messages` does.

    Raises `BadInput` for what is no message.
    """
    from langgraph.graph.message import add_messages

    try:
        merged: Any = add_messages(list(left or ()), [] if right is None else right)
    except (ValueError, TypeError, NotImplementedError, KeyError) as error:
        raise BadInput(
            "`messages` is a list of LangChain messages, dicts as {'role': 'user', 'content': '…'}, or pairs as "
            f"('user', '…'), and does not fit: {str(error).splitlines()[0]}"
        ) from error
    return merged


def _plain(source: Any) -> Any:
    """Return the actual type of an input type."""
    items = get_args(source)
    return list[items] if items else Task | dict[str, Any] | str
