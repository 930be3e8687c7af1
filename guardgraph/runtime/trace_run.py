"""An attempt as a run of its own in a trace, below that of its node, which goes on whatever becomes of the attempt."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from langchain_core.callbacks import AsyncCallbackManager, BaseCallbackManager, CallbackManager
from langchain_core.runnables import RunnableConfig

from guardgraph.runtime.budget.callback_handler import AsyncBudgetCallbackHandler, BudgetCallbackHandler
from guardgraph.state import Request, Result

__all__ = ("TraceRun",)


class TraceRun:
    """Tells callback handlers of an attempt: its request, and its value or its error. Where nobody listens, nothing.

    It is entered before the attempt, sync or async, and left after it; `config` is what the attempt inherits.
    """

    def __init__(self, config: RunnableConfig, *, name: str, request: Request) -> None:
        self.config: RunnableConfig = config
        self._name, self._request = name, request
        self._run: Any = None
        self._result: Result | None = None
        self._error: BaseException | None = None

    def tell(self, result: Result, error: BaseException | None = None) -> Result:
        """Note what the attempt has come to, with the error that it has raised; return the result."""
        self._result, self._error = result, error
        return result

    def __enter__(self) -> TraceRun:
        manager = _listened(self.config)
        if isinstance(manager, CallbackManager):
            self._begun(manager.on_chain_start(None, {"request": self._request}, name=self._name))
        return self

    async def __aenter__(self) -> TraceRun:
        manager = _listened(self.config)
        if isinstance(manager, AsyncCallbackManager):
            self._begun(await manager.on_chain_start(None, {"request": self._request}, name=self._name))
        return self

    def __exit__(self, kind: Any, raised: BaseException | None, traceback: TracebackType | None) -> None:
        if self._run is None:
            return
        error = raised or self._failure()
        if error is not None:
            self._run.on_chain_error(error)
        else:
            self._run.on_chain_end(self._value())
        self._error = None

    async def __aexit__(self, kind: Any, raised: BaseException | None, traceback: TracebackType | None) -> None:
        if self._run is None:
            return
        error = raised or self._failure()
        if error is not None:
            await self._run.on_chain_error(error)
        else:
            await self._run.on_chain_end(self._value())
        self._error = None

    def _begun(self, run: Any) -> None:
        self._run = run
        self.config = {**self.config, "callbacks": run.get_child()}

    def _value(self) -> Any:
        return None if self._result is None else {"output": self._result.value}

    def _failure(self) -> BaseException | None:
        """Return the error of an attempt without a value: what it has raised, or why what it answered is not taken."""
        result = self._result
        if result is None or result.error is None or result.status not in ("failed", "timeout"):
            return None
        return self._error if result.error.kind == "raised" and self._error else RuntimeError(result.error.message)


def _listened(config: RunnableConfig) -> BaseCallbackManager | None:
    """Return the callback manager of a node in which somebody else listens than our own meters."""
    manager = config.get("callbacks")
    if not isinstance(manager, BaseCallbackManager):
        return None
    return (
        manager
        if any(
            not isinstance(handler, BudgetCallbackHandler | AsyncBudgetCallbackHandler) for handler in manager.handlers
        )
        else None
    )
