"""The packages to compare with, which may be missing."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

__all__ = ("Missing", "peer", "version_of")


class Missing(Exception):
    """A peer cannot take part; the message says why, and what helps."""


def peer(module: str, *, distribution: str) -> Any:
    """Return a module of another package. Raises `Missing` where it is not installed."""
    try:
        return import_module(module)
    except ImportError as error:
        raise Missing(
            f"{distribution} is not installed ({error}); `pip install 'guardgraph[bench]'` brings it"
        ) from error


def version_of(distribution: str) -> str | None:
    """Return the installed version, or `None`."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
