"""An attempt as a run of its own in a trace, below that of its node, which continues whether or not it fails."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from langchain_core.callbacks import AsyncCallbackManager, BaseCallbackManager, CallbackManager
from langchain_core.runnables import RunnableConfig

from guardgraph.runtime.budget.callback_handler import HANDLERS
from guardgraph.state import Request, Result

__all__ = ("TraceRun",)


class TraceRun:
    """Reports an attempt to callback handlers: its request, and its value or its error. Without handlers, nothing.

    It is entered before the attempt, sync or async, and left after it; `config` is what the attempt inherits.
    """

    def __init__(self, config: RunnableConfig, *, name: str, request: Request, cached: bool = False) -> None:
        """`cached` marks an answer from a cache: the metadata of the run has `cached: True`, as LangGraph's own."""
        self.config: RunnableConfig = config
        self._name, self._request, self._cached = name, request, cached
        self._run: Any = None
        self._result: Result | None = None
        self._error: BaseException | None = None

    def finish(self, result: Result, error: BaseException | None = None) -> Result:
        """Set the result of the attempt, with the error that it has raised; return the result."""
        self._result, self._error = result, error
        return result

    def __enter__(self) -> TraceRun:
        if self._is_traced(CallbackManager):
            self._begin(self._started())
        return self

    async def __aenter__(self) -> TraceRun:
        if self._is_traced(AsyncCallbackManager):
            self._begin(await self._started())
        return self

    def __exit__(self, kind: Any, raised: BaseException | None, traceback: TracebackType | None) -> None:
        if self._run is not None:
            self._ended(raised)

    async def __aexit__(self, kind: Any, raised: BaseException | None, traceback: TracebackType | None) -> None:
        if self._run is not None:
            await self._ended(raised)

    def _is_traced(self, kind: type[BaseCallbackManager]) -> bool:
        """Whether there is a callback manager of this kind, with other handlers than those of the budget."""
        manager = self.config.get("callbacks")
        return isinstance(manager, kind) and any(not isinstance(handler, HANDLERS) for handler in manager.handlers)

    def _started(self) -> Any:
        """Start the run; return it, or a coroutine that returns it, as the methods of the manager do."""
        manager: Any = self.config.get("callbacks")
        if self._cached:
            manager = manager.copy()
            manager.add_metadata({"cached": True}, inherit=False)
        return manager.on_chain_start(None, {"request": self._request}, name=self._name)

    def _begin(self, run: Any) -> None:
        self._run = run
        self.config = {**self.config, "callbacks": run.get_child()}

    def _ended(self, raised: BaseException | None) -> Any:
        """End the run, or return a coroutine that does."""
        error, self._error = raised or self._failure(), None
        if error is not None:
            return self._run.on_chain_error(error)
        return self._run.on_chain_end(None if self._result is None else {"output": self._result.value})

    def _failure(self) -> BaseException | None:
        """Return the error of an attempt without a value: what it has raised, or why its answer is not accepted."""
        result = self._result
        if result is None or result.error is None or result.status not in ("failed", "timeout"):
            return None
        return self._error if result.error.kind == "raised" and self._error else RuntimeError(result.error.message)
