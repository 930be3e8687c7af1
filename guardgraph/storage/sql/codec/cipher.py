"""Encryption of stored values with AES-GCM, by the package `cryptography` (the extra `encryption`)."""

from __future__ import annotations

import secrets
from base64 import b64decode
from importlib import import_module
from typing import TYPE_CHECKING

from guardgraph.state import BadInput, MissingExtra

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ("AESGCMCipher",)

_NAME = "aes-gcm"
_NONCE = 12
_SIZES = (16, 24, 32)


class AESGCMCipher:
    """Encrypts and authenticates under one key. Its nonces are random: change the key before 2**32 values."""

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes | str) -> None:
        """Use a key of 16, 24 or 32 bytes; a text is the base64 of one.

        Raises:
            BadInput: it is no such key.
            MissingExtra: the extra `encryption` is not installed.
        """
        self._cipher = _aes_gcm()(_key_bytes(key))

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        """Return the name of the cipher, and the nonce with the encrypted text."""
        nonce = secrets.token_bytes(_NONCE)
        return _NAME, nonce + self._cipher.encrypt(nonce, plaintext, None)

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        """Return the plain text. Raises an error of `cryptography` where the key is another one."""
        if ciphername != _NAME:
            raise ValueError(f"it was encrypted with {ciphername!r}, not with {_NAME!r}")
        return self._cipher.decrypt(ciphertext[:_NONCE], ciphertext[_NONCE:], None)


def _key_bytes(key: bytes | str) -> bytes:
    try:
        found = key if isinstance(key, bytes) else b64decode(key, validate=True)
    except ValueError:  # which would quote nothing of the key, but chains it
        found = b""
    if len(found) not in _SIZES:
        raise BadInput("a key has 16, 24 or 32 bytes, or is the base64 of them as text: secrets.token_bytes(32)")
    return found


def _aes_gcm() -> type[AESGCM]:
    try:
        return import_module("cryptography.hazmat.primitives.ciphers.aead").AESGCM
    except ImportError as error:
        raise MissingExtra("cryptography", extra="encryption", needed_for="an encrypted database") from error
