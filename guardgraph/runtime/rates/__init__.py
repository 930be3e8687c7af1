"""Limits per time: what waits for its turn."""

__all__ = ()
