"""What a run knows, and where it is kept."""

from __future__ import annotations

from guardgraph.state.accounts import (
    Amount,
    Balance,
    ReservationDenied,
    account_chain,
    check_caps,
    full_usage,
    remaining_allowance,
)
from guardgraph.state.agent_info import AgentInfo
from guardgraph.state.allowance import Allowance
from guardgraph.state.delegation_scope import DelegationScope
from guardgraph.state.errors import (
    BadGraph,
    BadInput,
    GuardgraphError,
    MigrationNeeded,
    MissingExtra,
    MissingKey,
    NotADatabase,
    PatternError,
    RunActive,
    RunEnded,
    RunStranded,
    RunUnfinished,
    StorageBusy,
    StorageCorrupt,
    StorageError,
    StorageFull,
    StorageReadOnly,
    StorageUnavailable,
    UnknownGraph,
    UnknownModel,
    UnknownThread,
    Unserializable,
)
from guardgraph.state.event import EventKind, RunEvent
from guardgraph.state.frozen_model import FrozenModel, new_id, to_json
from guardgraph.state.messages import MESSAGE_LIST, Documented, Messages, OptionalInput, TaskInput, merge_messages
from guardgraph.state.money import exact_decimal
from guardgraph.state.outcome import Outcome, OutcomeStatus
from guardgraph.state.plan import Plan, Subtask
from guardgraph.state.reducers import add_counts, append_by_id, append_unique, merge_open
from guardgraph.state.reply import Evidence, Reply
from guardgraph.state.request import ContextItem, ContextKind, Request
from guardgraph.state.result import AgentError, ErrorKind, Gap, Result, ResultStatus
from guardgraph.state.run_state import AgentInput, EarlyStop, RunState, TeamInput, TeamOutput
from guardgraph.state.stored_as import StoredName, stored_as, stored_name
from guardgraph.state.task import Category, Stakes, Task
from guardgraph.state.text import error_place, error_text, printable
from guardgraph.state.usage import Usage
from guardgraph.state.verdict import Action, Gate, Verdict

__all__ = (
    "MESSAGE_LIST",
    "Action",
    "AgentError",
    "AgentInfo",
    "AgentInput",
    "Allowance",
    "Amount",
    "BadGraph",
    "BadInput",
    "Balance",
    "Category",
    "ContextItem",
    "ContextKind",
    "DelegationScope",
    "Documented",
    "EarlyStop",
    "ErrorKind",
    "EventKind",
    "Evidence",
    "FrozenModel",
    "Gap",
    "Gate",
    "GuardgraphError",
    "Messages",
    "MigrationNeeded",
    "MissingExtra",
    "MissingKey",
    "NotADatabase",
    "OptionalInput",
    "Outcome",
    "OutcomeStatus",
    "PatternError",
    "Plan",
    "Reply",
    "Request",
    "ReservationDenied",
    "Result",
    "ResultStatus",
    "RunActive",
    "RunEnded",
    "RunEvent",
    "RunState",
    "RunStranded",
    "RunUnfinished",
    "Stakes",
    "StorageBusy",
    "StorageCorrupt",
    "StorageError",
    "StorageFull",
    "StorageReadOnly",
    "StorageUnavailable",
    "StoredName",
    "Subtask",
    "Task",
    "TaskInput",
    "TeamInput",
    "TeamOutput",
    "UnknownGraph",
    "UnknownModel",
    "UnknownThread",
    "Unserializable",
    "Usage",
    "Verdict",
    "account_chain",
    "add_counts",
    "append_by_id",
    "append_unique",
    "check_caps",
    "error_place",
    "error_text",
    "exact_decimal",
    "full_usage",
    "merge_messages",
    "merge_open",
    "new_id",
    "printable",
    "remaining_allowance",
    "stored_as",
    "stored_name",
    "to_json",
)
