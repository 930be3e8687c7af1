"""Threads that LangGraph's own savers have stored, and their way into a database of guardgraph's."""

__all__ = ()
