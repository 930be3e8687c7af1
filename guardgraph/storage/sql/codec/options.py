"""The options by which a saver or a `Runner` encrypts and compresses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from langgraph.checkpoint.serde.base import CipherProtocol
from typing_extensions import TypedDict

from guardgraph.state import BadInput, nearest_text
from guardgraph.storage.sql.codec.cipher import AESGCMCipher
from guardgraph.storage.sql.codec.codec import Codec

__all__ = ("CodecOptions", "codec_of")


class CodecOptions(TypedDict, total=False):
    """What is done with all values before they are stored."""

    key: bytes | str | CipherProtocol | None
    """Encrypts them with AES-GCM: 16, 24 or 32 bytes, or the base64 of them; or a cipher of your own."""
    allow_plain: bool
    """Reads also what is not encrypted, although there is a key."""
    compress_above: int | None
    """Compresses those of more bytes than this."""


def codec_of(types: Iterable[type[Any]], **options: Unpack[CodecOptions]) -> Codec:
    """Return the codec of these options.

    Raises:
        BadInput: the key is none, there is no such option, or a type in `types` cannot be registered.
        MissingExtra: there is a key, and the extra `encryption` is not installed.
    """
    unknown = sorted(set(options) - set(CodecOptions.__annotations__))
    if unknown:  # a wrong name of the key would store everything in plain
        nearest = nearest_text(unknown[0], CodecOptions.__annotations__)
        raise BadInput(f"there is no option {unknown[0]!r}{nearest}")
    key = options.get("key")
    return Codec(
        types=tuple(dict.fromkeys(types)),
        compress_above=options.get("compress_above"),
        cipher=AESGCMCipher(key) if isinstance(key, bytes | str) else key,
        allow_plain=options.get("allow_plain", False),
    )
