"""What happens at one place of a graph."""

from __future__ import annotations

from guardgraph.nodes.abandoned import (
    AbandonScope,
    redirect_calls,
)
from guardgraph.nodes.admission import (
    Route,
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
from guardgraph.nodes.assign import (
    send,
    send_subtask,
    worker_pieces,
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
from guardgraph.nodes.conclude import (
    conclude,
    exit_gate,
    open_gaps,
    outcome_of,
)
from guardgraph.nodes.dispatch import (
    Selection,
    dispatch_gate,
    nothing_to_send,
    select,
    unsettled,
)
from guardgraph.nodes.event import (
    Event,
    EventKind,
)
from guardgraph.nodes.flights import (
    Costs,
    Flight,
    may_start,
    rivals_of,
)
from guardgraph.nodes.gate import (
    gate,
    new_results,
)
from guardgraph.nodes.in_flight import (
    InFlight,
    Risk,
    held_back,
)
from guardgraph.nodes.inherited import (
    inherited,
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
from guardgraph.nodes.pieces import (
    accepted_of,
    gap_piece,
    pieces_of,
    result_piece,
    titles_of,
)
from guardgraph.nodes.place import (
    place_of,
    role_of,
    until_of,
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
from guardgraph.nodes.review import (
    Again,
    Review,
    asks_again,
    gaps_within,
    request_of,
    retried,
    review,
)
from guardgraph.nodes.rounds import (
    PlanRead,
    read_plan,
    round_gate,
    take_read,
)
from guardgraph.nodes.route_answer import (
    RouteAnswer,
    read_answer,
)
from guardgraph.nodes.said import (
    last_text,
)
from guardgraph.nodes.scene import (
    Scene,
    applied,
    scene_of,
    work_until,
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
from guardgraph.nodes.stage import (
    Stage,
    stage_gate,
)
from guardgraph.nodes.tab import (
    AllowanceSpent,
    Tab,
)
from guardgraph.nodes.trace_run import (
    TraceRun,
)
from guardgraph.nodes.ways import (
    Then,
    Ways,
    early_stop,
    last_round,
    note_stop,
    to_the_end,
    too_few_steps,
    too_many_visits,
)
from guardgraph.nodes.work import (
    Work,
)

__all__ = (
    "CACHED",
    "IDLE_RUNS",
    "KEY",
    "AbandonScope",
    "Again",
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
    "Event",
    "EventKind",
    "Flight",
    "Here",
    "InFlight",
    "Invalid",
    "Meter",
    "Notice",
    "PlanRead",
    "Price",
    "Review",
    "Risk",
    "Room",
    "Route",
    "RouteAnswer",
    "Scene",
    "Selection",
    "Services",
    "Slots",
    "Stage",
    "Tab",
    "Then",
    "Ticket",
    "TimedOut",
    "TraceRun",
    "Turn",
    "UsageReport",
    "Ways",
    "Work",
    "WorkCancelled",
    "aawait",
    "accepted_of",
    "admission",
    "agent_node",
    "answered",
    "applied",
    "arun",
    "asked_in",
    "asks_again",
    "body_of",
    "bound_of",
    "conclude",
    "cost_of",
    "dispatch_gate",
    "early_stop",
    "enter",
    "exit_gate",
    "failed",
    "final_update",
    "fit",
    "forget_run",
    "gap_of",
    "gap_piece",
    "gaps_within",
    "gate",
    "generations_of",
    "handed_over",
    "held_back",
    "here_of",
    "inherited",
    "input_keys",
    "last_round",
    "last_text",
    "may_start",
    "messages_of",
    "model_body",
    "names_of",
    "new_results",
    "note_stop",
    "nothing_to_send",
    "open_gaps",
    "outcome_of",
    "outlast",
    "pieces_of",
    "place_of",
    "price_of",
    "read_answer",
    "read_plan",
    "redirect_calls",
    "render",
    "report_of",
    "request_of",
    "result_id",
    "result_piece",
    "retried",
    "review",
    "risk_of",
    "rivals_of",
    "role_of",
    "rooms_of",
    "round_gate",
    "run",
    "run_coroutine",
    "scene_of",
    "schema_tokens",
    "select",
    "send",
    "send_subtask",
    "services_of",
    "stage_gate",
    "take_read",
    "task_of",
    "titles_of",
    "to_the_end",
    "too_few_steps",
    "too_many_visits",
    "unsettled",
    "until_of",
    "was_cut",
    "work_until",
    "worker_pieces",
)
