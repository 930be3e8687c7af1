"""How values become bytes: msgpack with an allowlist that is always on. Loading looks names up, and imports nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Self

from langgraph.checkpoint.serde.base import CipherProtocol

from guardgraph.state import BadInput, StorageCorrupt, WrongKey
from guardgraph.storage.sql.codec.envelope import compressed, is_sealed, opened, packed, sealed, unsealed
from guardgraph.storage.sql.codec.reading import Reader
from guardgraph.storage.sql.codec.records import Registry, registry_of, types_in
from guardgraph.storage.sql.codec.tags import OWN
from guardgraph.storage.sql.codec.writing import pack

__all__ = ("Codec",)

_NAME = "guardgraph"


@dataclass(frozen=True)
class Codec:
    """LangGraph's serializer protocol over an allowlist of types: a value is restored unchanged, or refused on writing.

    Known are Python's plain, date, number and collection types, exceptions (as `StoredException`), NumPy arrays,
    LangChain's messages and documents, LangGraph's `Send`, `Command`, `Interrupt` and `Overwrite`, and guardgraph's
    own types. `types` adds pydantic models, dataclasses, enums and named tuples, with the types of their fields; a
    `TypedDict` adds the types of its keys. A subclass is a different type from its parent.

    Raises:
        BadInput: a type in `types` is of no kind that can be stored, or two of them share a name.
    """

    types: tuple[type[Any], ...] = ()
    on_unknown: Callable[[str], None] | None = field(default=None, compare=False)
    """Called with the name of each unknown class that is read; its fields are then returned as a dict."""
    compress_above: int | None = None
    """Values of more bytes than this are compressed with zlib; `None` compresses none. All are read."""
    cipher: CipherProtocol | None = field(default=None, repr=False, compare=False)
    """Encrypts and authenticates all that is written, such as an `AESGCMCipher`."""
    allow_plain: bool = False
    """Whether data that is not encrypted is read although there is a cipher. Such data may be of anybody."""

    def __post_init__(self) -> None:
        for kind in self.types:
            if not types_in(kind):
                raise BadInput(
                    f"{kind!r} cannot be registered: pass pydantic models, dataclasses, enums, named tuples, "
                    "or a TypedDict that holds some"
                )
        _registry_with(self.types)

    def with_types(self, *types: type[Any]) -> Self:
        """Return a codec that also knows `types`; this one is not changed."""
        return replace(self, types=tuple(dict.fromkeys((*self.types, *types))))

    def stored_types(self) -> Collection[type[Any]]:
        """Return all classes that are stored as records: guardgraph's, LangChain's, LangGraph's and `types`."""
        return _registry_with(self.types).by_type.keys()

    def reading_plain(self, on_unknown: Callable[[str], None]) -> Self:
        """Return a codec that reads an object of an unknown class as a dict of its fields.

        It calls `on_unknown` with the name of the class, as `module:name`. Use it only to inspect data: the values that
        it returns are not those that were stored.
        """
        return replace(self, on_unknown=on_unknown)

    def dumps(self, value: Any, *, where: str = "value", context: bytes = b"") -> bytes:
        """Return the bytes of `value`, encrypted if there is a cipher; see `dumps_plain` and `seal`."""
        data = self.dumps_plain(value, where=where)
        return data if self.cipher is None else sealed(self.cipher, data, context)

    def loads(self, data: bytes, *, context: bytes = b"") -> Any:
        """Return the value of bytes that `dumps` made in the same context.

        Raises:
            StorageCorrupt: the bytes are damaged, were not written by `dumps`, or name an unknown type.
            WrongKey: as `unseal` does.
        """
        payload = opened(self.unseal(data, context))
        return Reader(_registry_with(self.types), self.on_unknown).unpack(payload)

    def loads_all(self, items: Sequence[bytes]) -> list[Any]:
        """Return the values of many, as `loads` does for each, in less time."""
        payloads = [opened(self.unseal(data)) for data in items]
        reader = Reader(_registry_with(self.types), self.on_unknown)
        try:
            return reader.unpack(b"\xdd" + len(payloads).to_bytes(4, "big") + b"".join(payloads))
        except StorageCorrupt:  # so that one that is nested as deep as it may be can be read, too
            return [self.loads(data) for data in items]

    def dumps_plain(self, value: Any, *, where: str = "value") -> bytes:
        """Return the bytes of `value` without encryption; equal values give equal bytes, so that they can be hashed.

        `where` names the value in the message when a part of it is refused.

        Raises:
            Unserializable: a part of it is of an unknown type, or is nested too deep.
        """
        return self._enveloped(pack(value, _registry_with(self.types), where))

    def with_ids(self, data: bytes, ids: Mapping[str, str]) -> bytes:
        """Return the bytes of a value in which ids are replaced by others of the same length; it needs no classes.

        Raises:
            StorageCorrupt, WrongKey: as `loads` does.
        """
        before = after = bytes(opened(self.unseal(data)))
        for old, new in ids.items():
            after = after.replace(old.encode(), new.encode())
        return data if after == before else self.seal(self._enveloped(after))

    def seal(self, data: bytes, context: bytes = b"") -> bytes:
        """Return any bytes encrypted, so that they are read in the same `context` only; unchanged without a cipher."""
        return data if self.cipher is None else sealed(self.cipher, data, context)

    def unseal(self, data: bytes, context: bytes = b"") -> bytes:
        """Return what `seal` was given.

        Raises:
            WrongKey: it was encrypted with another key, or there is a key for one of the two only.
            StorageCorrupt: it is damaged, or was encrypted in another context.
        """
        if is_sealed(data):
            if self.cipher is None:
                raise WrongKey("stored data is encrypted; pass the key that it was written with, as `key=`")
            return unsealed(self.cipher, data, context)
        if self.cipher is None or self.allow_plain:
            return data
        raise WrongKey(
            "stored data is not encrypted, but there is a key; read it without one, or also with `allow_plain=True`"
        )

    def _enveloped(self, payload: bytes) -> bytes:
        small = self.compress_above is None or len(payload) <= self.compress_above
        return packed(payload) if small else compressed(payload)

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Return the name of this codec and the bytes of `obj`; see `dumps`."""
        return _NAME, self.dumps(obj)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Return the value of what `dumps_typed` made; see `loads`."""
        name, packed = data
        if name != _NAME:
            raise StorageCorrupt(f"stored data was written by {name!r}, not by {_NAME!r}")
        return self.loads(packed)


@lru_cache(maxsize=64)
def _registry_with(types: tuple[type[Any], ...]) -> Registry:
    """Return the registry of guardgraph's own classes and `types`."""
    return registry_of(types_in(*OWN.values(), *types))
