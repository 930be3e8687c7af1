"""The classes that may be stored by name: guardgraph's, LangChain's and LangGraph's own, and registered ones.

A record is stored as a tag and its fields. The tag is looked up in a registry that was built from classes, so that
stored data can never name a class that was not registered.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from enum import Enum, Flag
from functools import partial
from inspect import Parameter, signature
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from langgraph.store.base import Item
from langgraph.types import Command, Interrupt, Overwrite, Send, TimeoutPolicy
from pydantic import BaseModel, RootModel, ValidationError
from typing_extensions import TypeAliasType, is_typeddict

from guardgraph.state import BadInput, StoredName, validation_text
from guardgraph.storage.sql.codec.kinds import BY_TYPE, RECORD
from guardgraph.storage.sql.codec.tags import DELTA_SNAPSHOT, LANGCHAIN, OWN, name_of_stored

__all__ = (
    "ClassCodec",
    "Registry",
    "is_registrable",
    "missing_arguments",
    "named_types",
    "plain_fields",
    "reason_of",
    "registry_of",
    "types_in",
)

# No field can have these names.
_UNSET = "unset fields"
_PRIVATE = "private attributes"
_FROZEN = frozenset(OWN.values())
"""No field of them can be assigned, and their validators accept what they have made: they are not made again when they
are written, which would take a tenth of a run's time."""


class ClassCodec(NamedTuple):
    """One registered class: `encode` returns a value's fields, `decode` restores the value from them."""

    name: StoredName
    type: type[Any]
    encode: Callable[[Any], dict[str, Any]]
    decode: Callable[[dict[str, Any]], Any]


class Registry(NamedTuple):
    """The registered classes, by class for writing and by tag for reading."""

    by_type: Mapping[type[Any], ClassCodec]
    by_tag: Mapping[str, ClassCodec]
    encoders: Mapping[type[Any], tuple[int, Callable[[Any], Any]]]
    """How values of these classes and of Python's own become simpler ones, with the number of what is made so."""


def is_registrable(kind: object) -> bool:
    """Return whether instances of `kind` can be stored as a record: pydantic, dataclass, enum or named tuple."""
    if not isinstance(kind, type):
        return False
    return issubclass(kind, BaseModel | Enum) or dataclasses.is_dataclass(kind) or _is_named_tuple(kind)


def missing_arguments(kind: type[Any]) -> list[str]:
    """Return the required arguments of a dataclass that its fields do not hold; it can be stored if there are none."""
    if not dataclasses.is_dataclass(kind):
        return []
    fields = {field.name for field in dataclasses.fields(kind) if field.init}
    parameters = signature(kind).parameters.values()
    return [item.name for item in parameters if item.default is Parameter.empty and item.name not in fields]


def plain_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a stored record as plain data, where its class is not known."""
    return {name: item for name, item in fields.items() if name not in (_UNSET, _PRIVATE)}


def types_in(*schemas: Any) -> tuple[type[Any], ...]:
    """Return every class in `schemas` and in their fields that can be registered, at any depth.

    A schema is a `TypedDict`, a pydantic model, a dataclass, an enum, or any annotation made of them.
    """
    found: dict[Any, None] = {}
    for schema in schemas:
        _walk(schema, found)
    return tuple(kind for kind in found if is_registrable(kind))


def named_types(names: Collection[tuple[str, ...]]) -> tuple[type[Any], ...]:
    """Return the registrable classes among `(module, name)` pairs; only imported modules are searched."""
    found = (getattr(sys.modules.get(module), name, None) for module, name, *_ in names)
    return tuple(kind for kind in found if isinstance(kind, type) and is_registrable(kind))


def registry_of(types: Iterable[type[Any]]) -> Registry:
    """Return the registry of LangChain's and LangGraph's own classes and of `types`.

    Raises:
        BadInput: a type cannot be stored as a record, or two types share one name.
    """
    records = [*_LANGGRAPH, *map(_class_codec, dict.fromkeys([*LANGCHAIN.values(), *types]))]
    by_tag: dict[str, ClassCodec] = {}
    for record in records:
        for tag in (record.name.tag, *record.name.former):
            if by_tag.setdefault(tag, record).type is not record.type:
                raise BadInput(
                    f"two classes are called {tag!r}; give one of them another name or module, or a name by `stored_as`"
                )
    builtin = {kind: (known.code, known.encode) for kind, known in BY_TYPE.items()}
    encoders = builtin | {record.type: (RECORD, _record_encoder(record)) for record in records}
    return Registry({record.type: record for record in records}, by_tag, encoders)


def _record_encoder(record: ClassCodec) -> Callable[[Any], list[Any]]:
    tag, encode = record.name.tag, record.encode
    return lambda value: [tag, encode(value)]


def _walk(annotation: Any, found: dict[Any, None]) -> None:
    annotation = getattr(annotation, "__supertype__", annotation)  # of a NewType
    if isinstance(annotation, TypeAliasType) and annotation not in found:
        found[annotation] = None
        _walk(annotation.__value__, found)
    for argument in get_args(annotation):
        _walk(argument, found)
    if isinstance(annotation, type) and get_origin(annotation) is None and annotation not in found:
        found[annotation] = None
        for field in _annotations_of(annotation):
            _walk(field, found)


def _annotations_of(kind: type[Any]) -> list[Any]:
    """Return the annotations of the fields of a class."""
    if issubclass(kind, BaseModel):
        kind.model_rebuild(raise_errors=False)  # names of classes that were defined after it
        return [field.annotation for field in kind.model_fields.values()]
    if not (is_typeddict(kind) or dataclasses.is_dataclass(kind) or hasattr(kind, "_fields")):
        return []
    try:
        return [*get_type_hints(kind, include_extras=True).values()]
    except NameError:  # a name for type checkers only; a value of that type is refused when it is written
        return []


def _class_codec(kind: type[Any]) -> ClassCodec:
    if missing := missing_arguments(kind):
        raise BadInput(f"{kind!r} cannot be registered: its fields do not hold {missing}, which it is made with")
    name, (encode, decode) = name_of_stored(kind), _encode_and_decode(kind)
    if not name.renamed:
        return ClassCodec(name, kind, encode, decode)
    return ClassCodec(name, kind, encode, lambda fields: decode(_present_names(fields, name.renamed)))


def _present_names(fields: Mapping[str, Any], renamed: Mapping[str, str]) -> dict[str, Any]:
    """Return stored fields under the names that they have today."""
    found = {renamed.get(name, name): item for name, item in fields.items()}
    if _UNSET in found:
        found[_UNSET] = [renamed.get(name, name) for name in found[_UNSET]]
    return found


def _encode_and_decode(kind: type[Any]) -> tuple[Callable[[Any], dict[str, Any]], Callable[[dict[str, Any]], Any]]:
    if issubclass(kind, BaseModel):
        encode, decode = _model_fields(kind), _model(kind)
        return (encode, decode) if kind in _FROZEN else _restorable(encode, decode)
    if issubclass(kind, Flag):
        return lambda value: {"value": value.value}, lambda fields: kind(fields["value"])
    if issubclass(kind, Enum):
        return lambda value: {"name": value.name}, lambda fields: kind[fields["name"]]
    if _is_named_tuple(kind):
        return lambda value: value._asdict(), lambda fields: kind(**fields)
    names = [field.name for field in dataclasses.fields(kind)]
    late = [field.name for field in dataclasses.fields(kind) if not field.init]
    encode, decode = _attributes(names), partial(_dataclass, kind, late)
    makes_plainly = kind.__dataclass_params__.init and not hasattr(kind, "__post_init__")
    return (encode, decode) if makes_plainly else _restorable(encode, decode)


def _restorable(
    encode: Callable[[Any], dict[str, Any]], decode: Callable[[dict[str, Any]], Any]
) -> tuple[Callable[[Any], dict[str, Any]], Callable[[dict[str, Any]], Any]]:
    """Return both; `encode` refuses what `decode` would refuse, or return as something else.

    A field may have been assigned without validation, or a validator may not accept what it has made.
    """

    def checked(value: Any) -> dict[str, Any]:
        fields = encode(value)
        try:
            again = encode(decode({**fields}))
        except Exception as error:  # whatever a validator raises
            raise TypeError(f"its class would not accept it when it is read: {reason_of(error)}") from error
        if changed := _changed_fields(fields, again):
            raise TypeError(f"its class would change it when it is read: {', '.join(changed)}")
        return fields

    return checked, decode


def reason_of(error: Exception) -> str:
    """Return in one line why a class does not accept its fields."""
    return validation_text(error) if isinstance(error, ValidationError) else f"{type(error).__name__}: {error}"


def _changed_fields(fields: Mapping[str, Any], again: Mapping[str, Any]) -> list[str]:
    """Return the names of the fields that are not equal."""
    try:
        if fields == again:
            return []
    except Exception:  # such as of arrays; each is compared below
        pass
    names = dict.fromkeys([*fields, *again])
    return [name for name in names if not _is_equal(fields.get(name, ...), again.get(name, ...))]


def _is_equal(one: object, other: object) -> bool:
    try:
        return bool(one == other) or repr(one) == repr(other)  # a NaN equals nothing
    except Exception:  # what cannot be compared is taken for equal
        return True


def _is_named_tuple(kind: type[Any]) -> bool:
    return issubclass(kind, tuple) and hasattr(kind, "_fields")


def _attributes(names: Iterable[str]) -> Callable[[Any], dict[str, Any]]:
    return lambda value: {name: getattr(value, name) for name in names}


def _model_fields(kind: type[BaseModel]) -> Callable[[Any], dict[str, Any]]:
    """Return a function that returns the fields of a model, and what else makes it equal. It is called very often."""
    names = dict.fromkeys(kind.model_fields).keys()

    def fields_of(value: BaseModel) -> dict[str, Any]:
        content, fields_set = value.__dict__, value.__pydantic_fields_set__
        # Cached properties are among the attributes too.
        fields = {**content} if content.keys() == names else {name: content[name] for name in content if name in names}
        if extra := value.__pydantic_extra__:
            fields |= extra
        if not names <= fields_set:
            fields[_UNSET] = sorted(names - fields_set)
        if private := value.__pydantic_private__:
            fields[_PRIVATE] = private
        return fields

    return fields_of


def _model(kind: type[BaseModel]) -> Callable[[dict[str, Any]], BaseModel]:
    """Return a function that makes a model of its fields. It is called very often."""
    is_root = issubclass(kind, RootModel)

    def model_of(fields: dict[str, Any]) -> BaseModel:
        unset, private = fields.pop(_UNSET, ()), fields.pop(_PRIVATE, {})
        content = fields["root"] if is_root else fields
        value = kind.__pydantic_validator__.validate_python(content, by_alias=False, by_name=True)
        if unset:
            value.__pydantic_fields_set__.difference_update(unset)
        for name, item in private.items():
            setattr(value, name, item)
        return value

    return model_of


def _dataclass(kind: type[Any], late: Collection[str], fields: dict[str, Any]) -> Any:
    """Return a dataclass; `late` are the fields that its constructor does not take."""
    value = kind(**{name: item for name, item in fields.items() if name not in late})
    for name in late:
        object.__setattr__(value, name, fields[name])
    return value


def _attributes_codec(kind: type[Any], *names: str) -> ClassCodec:
    return ClassCodec(name_of_stored(kind), kind, _attributes(names), lambda fields: kind(**fields))


_LANGGRAPH = (
    _attributes_codec(Send, "node", "arg", "timeout"),
    _attributes_codec(Command, "graph", "update", "resume", "goto"),
    _attributes_codec(Interrupt, "value", "id", "response_schema"),
    _attributes_codec(Overwrite, "value"),
    _attributes_codec(DELTA_SNAPSHOT, "value"),
    _attributes_codec(TimeoutPolicy, "run_timeout", "idle_timeout", "refresh_on"),
    _attributes_codec(Item, "value", "key", "namespace", "created_at", "updated_at"),
)
