"""Where something is stored: the ids of a config, checked before they reach the database."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

from langchain_core.runnables import RunnableConfig

from guardgraph.state import BadInput
from guardgraph.storage.sql.tables import ID_LENGTH

__all__ = (
    "DEFAULT_TENANT",
    "NAMESPACE_LENGTH",
    "Place",
    "checked_id",
    "checked_tenant",
    "config_at",
    "digest_of",
    "place_in",
)

DEFAULT_TENANT = ""
"""The tenant of whoever names none."""

NAMESPACE_LENGTH = 8192
"""The longest checkpoint namespace, in characters: about a hundred nested graphs."""


class Place(NamedTuple):
    """One namespace of one thread of one tenant and, when it is named, one checkpoint in it."""

    thread_id: str
    namespace: str
    checkpoint_id: str | None
    tenant: str

    @property
    def name(self) -> bytes:
        """The digest by which the namespace is found; no two share one."""
        return _name_of(self.tenant, self.thread_id, self.namespace)


@lru_cache(maxsize=4096)
def _name_of(tenant: str, thread_id: str, namespace: str) -> bytes:
    return digest_of(tenant, thread_id, namespace)


def place_in(config: RunnableConfig, *, tenant: str) -> Place:
    """Return the place of a tenant that `config` names; a missing `checkpoint_ns` is the root's.

    Raises:
        BadInput: `thread_id` is missing, or an id is not a text of at most 255 characters without NUL.
    """
    ids: dict[str, Any] = config.get("configurable", {})
    if "thread_id" not in ids:
        raise BadInput("the config names no thread; pass config={'configurable': {'thread_id': …}}")
    checkpoint_id = ids.get("checkpoint_id")
    return Place(
        checked_id("thread_id", ids["thread_id"]),
        checked_id("checkpoint_ns", ids.get("checkpoint_ns") or "", longest=NAMESPACE_LENGTH),
        checked_id("checkpoint_id", checkpoint_id) if checkpoint_id else None,
        tenant,
    )


def checked_id(name: str, value: object, *, longest: int = ID_LENGTH) -> str:
    """Return `value` when every database can hold it as an id.

    Raises:
        BadInput: it is no text, too long, or holds NUL or half of a surrogate pair.
    """
    if not isinstance(value, str):
        raise BadInput(f"`{name}` must be a str, got {type(value).__name__}: {value!r:.80}; convert it with str()")
    if len(value) > longest:
        raise BadInput(f"`{name}` has {len(value)} characters, at most {longest} are stored: {value[:40]!r}…")
    if "\0" in value:
        raise BadInput(f"`{name}` holds a NUL character, which no database stores in an id: {value!r:.80}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadInput(f"`{name}` is not valid Unicode text: {value!a:.80}") from None
    return str(value)


def checked_tenant(given: object) -> str:
    """Return the tenant that is given, `DEFAULT_TENANT` for `None`.

    Raises:
        BadInput: it is no id, or blank, as an id that is missing often is: those threads are not whose that id was.
    """
    if given is None:
        return DEFAULT_TENANT
    if not checked_id("tenant", given).strip():
        raise BadInput(f"`tenant` is empty, got {given!r}; leave it out (`None`) for the threads without a tenant")
    return str(given)


def config_at(thread_id: str, namespace: str, checkpoint_id: str) -> RunnableConfig:
    """Return the config that names exactly this checkpoint."""
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": namespace, "checkpoint_id": checkpoint_id}}


def digest_of(*parts: str | bytes | None) -> bytes:
    """Return 16 bytes that differ for any other parts; `None` is not an empty part."""
    digest = blake2b(digest_size=16)
    for part in parts:
        packed = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(b"\0" * 8 if packed is None else (len(packed) + 1).to_bytes(8, "big"))
        digest.update(packed or b"")
    return digest.digest()
