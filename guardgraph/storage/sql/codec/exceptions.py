"""What a stored exception is read back as: a record of it, never an instance of a class that the data names."""

from __future__ import annotations

from typing import Any

__all__ = ("StoredException",)


class StoredException(Exception):
    """A record of an exception that a node raised: its type's name, its text, and its arguments.

    Arguments that cannot be stored are kept as their `repr`. Attributes, notes, cause and traceback are not stored.
    """

    def __init__(self, kind: str, text: str, arguments: tuple[Any, ...] = ()) -> None:
        self.kind, self.text, self.arguments = kind, text, arguments
        super().__init__(kind, text, arguments)

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}" if self.text else self.kind

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StoredException):
            return NotImplemented
        return (self.kind, self.text, self.arguments) == (other.kind, other.text, other.arguments)

    def __hash__(self) -> int:
        return hash((self.kind, self.text))
