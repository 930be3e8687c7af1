"""What happens at one place of a graph."""

from __future__ import annotations

from guardgraph.nodes.abandoned import (
    AbandonScope,
    redirect_calls,
)
from guardgraph.nodes.admission import (
    ADMISSION,
    admission,
    task_of,
)
from guardgraph.nodes.agent import (
    Agent,
    AgentKind,
    input_keys,
)
from guardgraph.nodes.agent_node import (
    agent_node,
)
from guardgraph.nodes.apart import (
    CancelToken,
    TimedOut,
    WorkCancelled,
    aawait,
    arun,
    outlast,
    run,
    run_coroutine,
)
from guardgraph.nodes.attempt import (
    Invalid,
    answered,
    failed,
    gap_of,
    handed_over,
    result_id,
)
from guardgraph.nodes.body import (
    Body,
    body_of,
    model_body,
)
from guardgraph.nodes.bounds import (
    Room,
    fit,
    rooms_of,
)
from guardgraph.nodes.call import (
    Call,
    bound_of,
    cost_of,
    generations_of,
    names_of,
    risk_of,
    schema_tokens,
)
from guardgraph.nodes.checked_write import (
    checked_write,
    shown,
)
from guardgraph.nodes.context import (
    accepted_of,
    context_of,
    subtasks_by_id,
)
from guardgraph.nodes.destination import (
    RouteAnswer,
    read_answer,
)
from guardgraph.nodes.early_stop import (
    early_stop,
    last_round,
    too_few_steps,
    too_many_visits,
)
from guardgraph.nodes.event import (
    Event,
    EventKind,
)
from guardgraph.nodes.exit_gate import (
    exit_gate,
)
from guardgraph.nodes.flights import (
    Costs,
    Flight,
    may_start,
    rivals_of,
)
from guardgraph.nodes.gate import (
    Decide,
    gate_node,
    settled,
)
from guardgraph.nodes.gate_context import (
    Destination,
    GateContext,
    Route,
)
from guardgraph.nodes.in_flight import (
    InFlight,
    Risk,
    held_back,
)
from guardgraph.nodes.inherited import (
    inherited,
)
from guardgraph.nodes.judging import (
    allowed_sends,
    judge_send,
    judge_subject,
)
from guardgraph.nodes.messages import (
    Asked,
    asked_in,
    final_update,
)
from guardgraph.nodes.meter import (
    AsyncMeter,
    Booking,
    Meter,
)
from guardgraph.nodes.notice import (
    Notice,
    Turn,
)
from guardgraph.nodes.outcome import (
    collected_value,
    open_gaps,
    outcome_of,
    written_value,
)
from guardgraph.nodes.place import (
    place_of,
    role_of,
    until_of,
    work_until,
)
from guardgraph.nodes.prices import (
    Price,
    price_of,
)
from guardgraph.nodes.render import (
    render,
)
from guardgraph.nodes.reported import (
    CACHED,
    UsageReport,
    messages_of,
    report_of,
    was_cut,
)
from guardgraph.nodes.said import (
    last_text,
)
from guardgraph.nodes.sends import (
    request_for,
    worker_roster,
)
from guardgraph.nodes.services import (
    IDLE_RUNS,
    KEY,
    Here,
    Services,
    enter,
    forget_run,
    here_of,
    services_of,
)
from guardgraph.nodes.slots import (
    Slots,
    Ticket,
)
from guardgraph.nodes.state_update import (
    StateUpdate,
)
from guardgraph.nodes.tab import (
    AllowanceSpent,
    Tab,
)
from guardgraph.nodes.team_spec import (
    EXIT,
    TeamSpec,
)
from guardgraph.nodes.trace_run import (
    TraceRun,
)
from guardgraph.nodes.work import (
    Work,
)

__all__ = (
    "ADMISSION",
    "CACHED",
    "EXIT",
    "IDLE_RUNS",
    "KEY",
    "AbandonScope",
    "Agent",
    "AgentKind",
    "AllowanceSpent",
    "Asked",
    "AsyncMeter",
    "Body",
    "Booking",
    "Call",
    "CancelToken",
    "Costs",
    "Decide",
    "Destination",
    "Event",
    "EventKind",
    "Flight",
    "GateContext",
    "Here",
    "InFlight",
    "Invalid",
    "Meter",
    "Notice",
    "Price",
    "Risk",
    "Room",
    "Route",
    "RouteAnswer",
    "Services",
    "Slots",
    "StateUpdate",
    "Tab",
    "TeamSpec",
    "Ticket",
    "TimedOut",
    "TraceRun",
    "Turn",
    "UsageReport",
    "Work",
    "WorkCancelled",
    "aawait",
    "accepted_of",
    "admission",
    "agent_node",
    "allowed_sends",
    "answered",
    "arun",
    "asked_in",
    "body_of",
    "bound_of",
    "checked_write",
    "collected_value",
    "context_of",
    "cost_of",
    "early_stop",
    "enter",
    "exit_gate",
    "failed",
    "final_update",
    "fit",
    "forget_run",
    "gap_of",
    "gate_node",
    "generations_of",
    "handed_over",
    "held_back",
    "here_of",
    "inherited",
    "input_keys",
    "judge_send",
    "judge_subject",
    "last_round",
    "last_text",
    "may_start",
    "messages_of",
    "model_body",
    "names_of",
    "open_gaps",
    "outcome_of",
    "outlast",
    "place_of",
    "price_of",
    "read_answer",
    "redirect_calls",
    "render",
    "report_of",
    "request_for",
    "result_id",
    "risk_of",
    "rivals_of",
    "role_of",
    "rooms_of",
    "run",
    "run_coroutine",
    "schema_tokens",
    "services_of",
    "settled",
    "shown",
    "subtasks_by_id",
    "task_of",
    "too_few_steps",
    "too_many_visits",
    "until_of",
    "was_cut",
    "work_until",
    "worker_roster",
    "written_value",
)
