"""The classes that may be stored by name: guardgraph's words, LangChain's and LangGraph's, and registered ones.

A record is stored as a tag and its fields. The tag is looked up in a registry that was built from classes, so that
stored data can never name a class that nobody registered.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from enum import Enum, Flag
from inspect import Parameter, signature
from typing import Any, NamedTuple

from langgraph.store.base import Item
from langgraph.types import Command, Interrupt, Overwrite, Send, TimeoutPolicy
from pydantic import BaseModel, RootModel

from guardgraph.state import BadInput, StoredName
from guardgraph.storage.sql.codec.tags import DELTA_SNAPSHOT, LANGCHAIN, name_of_stored

__all__ = (
    "ClassCodec",
    "Registry",
    "default_types",
    "is_registrable",
    "is_storable",
    "plain_fields",
    "registry_of",
)

# No field can have these names.
_UNSET = "unset fields"
_PRIVATE = "private attributes"


class ClassCodec(NamedTuple):
    """One registered class: `take` gives a value's fields, `make` gives the value back from them."""

    name: StoredName
    type: type[Any]
    take: Callable[[Any], dict[str, Any]]
    make: Callable[[dict[str, Any]], Any]


class Registry(NamedTuple):
    """The registered classes, by class for writing and by tag for reading."""

    by_type: Mapping[type[Any], ClassCodec]
    by_tag: Mapping[str, ClassCodec]


def is_registrable(kind: object) -> bool:
    """Tell whether instances of `kind` can be stored as a record: pydantic, dataclass, enum or named tuple."""
    if not isinstance(kind, type):
        return False
    return issubclass(kind, BaseModel | Enum) or dataclasses.is_dataclass(kind) or _is_named_tuple(kind)


def is_storable(kind: type[Any]) -> bool:
    """Tell whether a registrable class can be made again from its fields alone."""
    try:
        return not (dataclasses.is_dataclass(kind) and _needed_beside_fields(kind))
    except (TypeError, ValueError):  # a class that tells no signature
        return False


def plain_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a stored record as plain data, where its class is not known."""
    return {name: item for name, item in fields.items() if name not in (_UNSET, _PRIVATE)}


def registry_of(types: Iterable[type[Any]]) -> Registry:
    """Return the registry of LangChain's and LangGraph's own classes and of `types`.

    Raises:
        BadInput: a type cannot be stored as a record, or two types share one name.
    """
    records = [*_OWN]
    for kind in dict.fromkeys([*default_types(), *types]):
        records.append(_record_of(kind))
    by_tag: dict[str, ClassCodec] = {}
    for record in records:
        for tag in (record.name.tag, *record.name.former):
            other = by_tag.setdefault(tag, record)
            if other.type is not record.type:
                raise BadInput(
                    f"two classes are called {tag!r}; give one of them another name or module, or a name by `stored_as`"
                )
    return Registry({record.type: record for record in records}, by_tag)


def default_types() -> tuple[type[Any], ...]:
    """Return the classes of LangChain that every codec knows: all messages and documents."""
    return tuple(LANGCHAIN.values())


def _record_of(kind: type[Any]) -> ClassCodec:
    if not is_registrable(kind):
        raise BadInput(
            f"{kind!r} cannot be registered: only pydantic models, dataclasses, enums and named tuples are stored"
        )
    if dataclasses.is_dataclass(kind) and (missing := _needed_beside_fields(kind)):
        raise BadInput(f"{kind!r} cannot be registered: its fields do not hold {missing}, which it is made with")
    (take, make), name = _hands_for(kind), name_of_stored(kind)
    if not name.renamed:
        return ClassCodec(name, kind, take, make)
    return ClassCodec(name, kind, take, lambda fields: make(_present(fields, name.renamed)))


def _present(fields: Mapping[str, Any], renamed: Mapping[str, str]) -> dict[str, Any]:
    """Return fields under their present names."""
    found = {renamed.get(name, name): item for name, item in fields.items()}
    if _UNSET in found:
        found[_UNSET] = [renamed.get(name, name) for name in found[_UNSET]]
    return found


def _hands_for(kind: type[Any]) -> tuple[Callable[[Any], dict[str, Any]], Callable[[dict[str, Any]], Any]]:
    if issubclass(kind, BaseModel):
        return _take_model, lambda fields: _make_model(kind, fields)
    if issubclass(kind, Flag):
        return lambda value: {"value": value.value}, lambda fields: kind(fields["value"])
    if issubclass(kind, Enum):
        return lambda value: {"name": value.name}, lambda fields: kind[fields["name"]]
    if _is_named_tuple(kind):
        return lambda value: dict(zip(kind._fields, value, strict=True)), lambda fields: kind(**fields)
    return _take_dataclass, lambda fields: _make_dataclass(kind, fields)


def _is_named_tuple(kind: type[Any]) -> bool:
    return issubclass(kind, tuple) and hasattr(kind, "_fields")


def _take_model(value: BaseModel) -> dict[str, Any]:
    names = type(value).model_fields
    fields = {name: value.__dict__[name] for name in names if name in value.__dict__}
    fields |= value.model_extra or {}
    unset = [name for name in names if name not in value.model_fields_set]
    beside = {_UNSET: unset, _PRIVATE: value.__pydantic_private__}
    return fields | {name: item for name, item in beside.items() if item}


def _make_model(kind: type[BaseModel], fields: dict[str, Any]) -> BaseModel:
    unset, private = fields.pop(_UNSET, ()), fields.pop(_PRIVATE, {})
    content = fields["root"] if issubclass(kind, RootModel) else fields
    value = kind.model_validate(content, by_alias=False, by_name=True)
    value.model_fields_set.difference_update(unset)
    for name, item in private.items():
        setattr(value, name, item)
    return value


def _take_dataclass(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _make_dataclass(kind: type[Any], fields: dict[str, Any]) -> Any:
    late = [field.name for field in dataclasses.fields(kind) if not field.init]
    value = kind(**{name: item for name, item in fields.items() if name not in late})
    for name in late:
        object.__setattr__(value, name, fields[name])
    return value


def _needed_beside_fields(kind: type[Any]) -> list[str]:
    fields = {field.name for field in dataclasses.fields(kind) if field.init}
    parameters = signature(kind).parameters.values()
    return [item.name for item in parameters if item.default is Parameter.empty and item.name not in fields]


def _slots_record(kind: type[Any], names: tuple[str, ...], make: Callable[[dict[str, Any]], Any]) -> ClassCodec:
    return ClassCodec(name_of_stored(kind), kind, lambda value: {name: getattr(value, name) for name in names}, make)


def _make_send(fields: dict[str, Any]) -> Send:
    return Send(fields["node"], fields["arg"], timeout=fields["timeout"])


_OWN = (
    _slots_record(Send, ("node", "arg", "timeout"), _make_send),
    _slots_record(Command, ("graph", "update", "resume", "goto"), lambda fields: Command(**fields)),
    _slots_record(Interrupt, ("value", "id", "response_schema"), lambda fields: Interrupt(**fields)),
    _slots_record(Overwrite, ("value",), lambda fields: Overwrite(**fields)),
    _slots_record(DELTA_SNAPSHOT, ("value",), lambda fields: DELTA_SNAPSHOT(**fields)),
    _slots_record(TimeoutPolicy, ("run_timeout", "idle_timeout", "refresh_on"), lambda fields: TimeoutPolicy(**fields)),
    _slots_record(Item, ("value", "key", "namespace", "created_at", "updated_at"), lambda fields: Item(**fields)),
)
