"""What a run knows, and where it is kept."""

from __future__ import annotations

from guardgraph.state.accounts import Amount, Balance, Refusal, chain_of, in_full, left_of, shortage
from guardgraph.state.agent_info import AgentInfo
from guardgraph.state.allowance import Allowance
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
from guardgraph.state.event import Event, EventKind
from guardgraph.state.frozen_model import Word, new_id, to_json
from guardgraph.state.messages import MESSAGE_LIST, Documented, Messages, OptionalInput, TaskInput, merge_messages
from guardgraph.state.money import exactly
from guardgraph.state.outcome import Outcome, OutcomeStatus
from guardgraph.state.plan import Plan, Subtask
from guardgraph.state.position import Position
from guardgraph.state.reducers import add_counts, add_distinct, add_new, merge_open
from guardgraph.state.reply import Evidence, Reply
from guardgraph.state.request import Piece, PieceKind, Request
from guardgraph.state.result import AgentError, ErrorKind, Gap, Result, ResultStatus
from guardgraph.state.run_state import Ask, Assignment, Ending, RunState, Told
from guardgraph.state.stored_as import StoredName, stored_as, stored_name
from guardgraph.state.task import Category, Stakes, Task
from guardgraph.state.told import error_place, error_text, printable
from guardgraph.state.usage import Usage
from guardgraph.state.verdict import Action, Gate, Verdict

__all__ = (
    "MESSAGE_LIST",
    "Action",
    "AgentError",
    "AgentInfo",
    "Allowance",
    "Amount",
    "Ask",
    "Assignment",
    "BadGraph",
    "BadInput",
    "Balance",
    "Category",
    "Documented",
    "Ending",
    "ErrorKind",
    "Event",
    "EventKind",
    "Evidence",
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
    "Piece",
    "PieceKind",
    "Plan",
    "Position",
    "Refusal",
    "Reply",
    "Request",
    "Result",
    "ResultStatus",
    "RunActive",
    "RunEnded",
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
    "Told",
    "UnknownGraph",
    "UnknownModel",
    "UnknownThread",
    "Unserializable",
    "Usage",
    "Verdict",
    "Word",
    "add_counts",
    "add_distinct",
    "add_new",
    "chain_of",
    "error_place",
    "error_text",
    "exactly",
    "in_full",
    "left_of",
    "merge_messages",
    "merge_open",
    "new_id",
    "printable",
    "shortage",
    "stored_as",
    "stored_name",
    "to_json",
)
