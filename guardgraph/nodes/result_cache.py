"""The cache of an agent's answers: it is asked before an attempt waits for its slot, and never fails one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any

from guardgraph.agents.agent import Agent
from guardgraph.agents.cached import cache_key, declaration_digest, result_of_stored, stored_form
from guardgraph.agents.results import InvalidAnswer
from guardgraph.runtime.concurrency import isolation
from guardgraph.state import Request, Result

__all__ = ("ResultCache",)

_LOG = logging.getLogger(__name__)
_PATIENCE = 1.0
"""Seconds that a cache may take."""
_PAUSE = 60.0
"""Seconds for which a cache that took longer is not asked again."""


def _is_complete(result: Result) -> bool:
    """Return whether an answer can be used again: one that sends messages answers others, which have ids."""
    return result.status == "ok" and not result.messages and result.memory is None


class ResultCache:
    """What an agent with `cache=` has answered before; without one, every look-up is a miss and nothing is stored.

    The sync methods of LangGraph's `BaseCache` are called, in a thread: some caches block in their async ones. What
    raises, takes more than a second or cannot be read back is logged and a miss.
    """

    def __init__(self, agent: Agent, *, evidence: bool) -> None:
        self._agent, self._cache = agent, agent.cache
        self._declaration = "" if self._cache is None else declaration_digest(agent, evidence=evidence)
        self._paused_until = 0.0

    def find(self, request: Request) -> Result | None:
        """Return the cached answer to a first attempt, as its result."""
        if not self._is_available or request.attempt > 1 or request.feedback is not None:
            return None
        found = self._reported(partial(isolation.run_in_thread, self._get(request), timeout=_PATIENCE))
        return self._read(request, found)

    async def afind(self, request: Request) -> Result | None:
        """Do as `find` without blocking the event loop."""
        if not self._is_available or request.attempt > 1 or request.feedback is not None:
            return None
        found = await self._areported(self._get(request))
        return self._read(request, found)

    def keep(self, request: Request, result: Result) -> None:
        """Store a whole answer, in place of an earlier one."""
        if self._is_available and _is_complete(result):
            self._reported(partial(isolation.run_in_thread, self._set(request, result), timeout=_PATIENCE))

    async def akeep(self, request: Request, result: Result) -> None:
        """Do as `keep` without blocking the event loop."""
        if self._is_available and _is_complete(result):
            await self._areported(self._set(request, result))

    @property
    def _is_available(self) -> bool:
        return self._cache is not None and monotonic() >= self._paused_until

    def _key(self, request: Request) -> tuple[tuple[str, ...], str]:
        return ("guardgraph", self._agent.name), cache_key(self._declaration, request)

    def _get(self, request: Request) -> Callable[[], Any]:
        cache: Any = self._cache
        return lambda: cache.get([key := self._key(request)]).get(key)

    def _set(self, request: Request, result: Result) -> Callable[[], Any]:
        cache: Any = self._cache
        return lambda: cache.set({self._key(request): (stored_form(result), self._agent.cache_ttl)})

    def _read(self, request: Request, stored: object) -> Result | None:
        if stored is None:
            return None
        try:
            return result_of_stored(self._agent, request, stored)
        except InvalidAnswer as error:
            _LOG.warning("cache of agent %s: %s; it is asked itself", self._agent.name, error)
            return None

    def _reported(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except Exception as error:
            return self._failed(error)

    async def _areported(self, work: Callable[[], Any]) -> Any:
        try:
            return await isolation.arun_in_thread(work, timeout=_PATIENCE)
        except Exception as error:
            return self._failed(error)

    def _failed(self, error: Exception) -> None:
        if isinstance(error, isolation.TimedOut):
            self._paused_until = monotonic() + _PAUSE
            why = f"it took more than {_PATIENCE:g} s and is not asked for {_PAUSE:g} s"
        else:
            why = f"it raised {type(error).__name__}"
        _LOG.warning("cache of agent %s: %s; the agent works without it", self._agent.name, why, exc_info=error)
