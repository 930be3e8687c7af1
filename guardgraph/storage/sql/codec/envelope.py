"""The envelope of stored bytes: `kind | checksum | payload`, where the payload may be compressed or encrypted."""

from __future__ import annotations

import zlib
from hashlib import blake2b

from langgraph.checkpoint.serde.base import CipherProtocol
from xxhash import xxh3_64_digest

from guardgraph.state import StorageCorrupt, WrongKey

__all__ = ("INFLATED", "compressed", "is_sealed", "opened", "packed", "sealed", "unsealed")

INFLATED = 2**28
"""How many bytes are compressed at most; what claims to be more is refused when it is read."""

_PLAIN, _COMPRESSED, _SEALED = 1, 2, 3
_DIGEST = 8
_CONTEXT = 16
_SIZE = 8


def packed(payload: bytes) -> bytes:
    """Return the envelope of a payload as it is."""
    return _enveloped(_PLAIN, payload)


def compressed(payload: bytes) -> bytes:
    """Return the envelope of a compressed payload, or of the payload as it is where that is not larger."""
    if len(payload) > INFLATED:
        return packed(payload)
    small = len(payload).to_bytes(_SIZE, "big") + zlib.compress(payload, 1)
    return _enveloped(_COMPRESSED, small) if len(small) < len(payload) else packed(payload)


def opened(data: bytes) -> memoryview | bytes:
    """Return the payload of what `packed` or `compressed` made.

    Raises:
        StorageCorrupt: the bytes are damaged, or are no envelope.
    """
    payload = memoryview(data)[1 + _DIGEST :]
    kind = data[0] if data else None
    if kind not in (_PLAIN, _COMPRESSED):
        raise StorageCorrupt("stored data is not in the format of this codec")
    _check(data, payload)
    return payload if kind == _PLAIN else _inflated(payload)


def is_sealed(data: bytes) -> bool:
    """Return whether data is what `sealed` made. Raises `StorageCorrupt` where it was, and is damaged."""
    if not data or data[0] != _SEALED:
        return False
    _check(data, memoryview(data)[1 + _DIGEST :])
    return True


def sealed(cipher: CipherProtocol, data: bytes, context: bytes) -> bytes:
    """Return `data` encrypted, together with a digest of the `context` that it belongs to."""
    name, text = cipher.encrypt(_digest(context) + data)
    return _enveloped(_SEALED, bytes([len(name)]) + name.encode("ascii") + text)


def unsealed(cipher: CipherProtocol, data: bytes, context: bytes) -> bytes:
    """Return what `sealed` was given.

    Raises:
        WrongKey: it was encrypted with another key.
        StorageCorrupt: it belongs to another context.
    """
    payload = data[1 + _DIGEST :]
    try:
        end = 1 + payload[0]
        content = cipher.decrypt(payload[1:end].decode("ascii"), payload[end:])
    except Exception as error:  # each cipher has its own
        raise WrongKey(
            "stored data cannot be decrypted with this key; pass the one that it was written with"
        ) from error
    if content[:_CONTEXT] != _digest(context):
        raise StorageCorrupt("stored data was encrypted for another place than the one where it is found")
    return content[_CONTEXT:]


def _enveloped(kind: int, payload: bytes) -> bytes:
    return bytes((kind,)) + xxh3_64_digest(payload, kind) + payload


def _check(data: bytes, payload: bytes | memoryview) -> None:
    if data[1 : 1 + _DIGEST] != xxh3_64_digest(payload, data[0]):
        raise StorageCorrupt("stored data is damaged: its checksum does not fit")


def _digest(context: bytes) -> bytes:
    return blake2b(context, digest_size=_CONTEXT).digest()


def _inflated(payload: memoryview) -> bytes:
    """Return compressed data as it was, without ever making more of it than it claims to be."""
    size = int.from_bytes(payload[:_SIZE], "big")
    stream = zlib.decompressobj()
    try:
        found = stream.decompress(payload[_SIZE:], size + 1) if size <= INFLATED else b""
    except zlib.error as error:
        raise StorageCorrupt(f"stored data cannot be decompressed: {error}") from error
    if len(found) != size:
        raise StorageCorrupt(f"stored data is not as long as it claims to be, or longer than {INFLATED:,} bytes")
    return found
