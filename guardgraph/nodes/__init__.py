"""What happens at one place of a graph."""

from __future__ import annotations

from guardgraph.nodes.admission import (
    Route,
    admission,
    task_of,
)
from guardgraph.nodes.agent import (
    Agent,
    AgentKind,
)
from guardgraph.nodes.agent_node import (
    agent_node,
)
from guardgraph.nodes.apart import (
    TimedOut,
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
from guardgraph.nodes.conclude import (
    conclude,
    exit_gate,
    outcome_of,
)
from guardgraph.nodes.dispatch import (
    Selection,
    dispatch_gate,
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
    Then,
    gate,
    go_on,
    new_results,
)
from guardgraph.nodes.inherited import (
    inherited,
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
from guardgraph.nodes.review import (
    Again,
    Review,
    asks_again,
    retried,
    review,
)
from guardgraph.nodes.rounds import (
    PlanRead,
    read_plan,
    round_gate,
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
from guardgraph.nodes.work import (
    Work,
)

__all__ = (
    "KEY",
    "Again",
    "Agent",
    "AgentKind",
    "AllowanceSpent",
    "AsyncMeter",
    "Body",
    "Booking",
    "Costs",
    "Event",
    "EventKind",
    "Flight",
    "Here",
    "Invalid",
    "Meter",
    "Notice",
    "PlanRead",
    "Price",
    "Review",
    "Room",
    "Route",
    "Scene",
    "Selection",
    "Services",
    "Slots",
    "Stage",
    "Tab",
    "Then",
    "Ticket",
    "TimedOut",
    "Turn",
    "Work",
    "aawait",
    "accepted_of",
    "admission",
    "agent_node",
    "answered",
    "applied",
    "arun",
    "asks_again",
    "body_of",
    "conclude",
    "dispatch_gate",
    "enter",
    "exit_gate",
    "failed",
    "fit",
    "forget_run",
    "gap_of",
    "gap_piece",
    "gate",
    "go_on",
    "here_of",
    "inherited",
    "last_text",
    "may_start",
    "model_body",
    "new_results",
    "outcome_of",
    "outlast",
    "pieces_of",
    "place_of",
    "price_of",
    "read_plan",
    "render",
    "result_id",
    "result_piece",
    "retried",
    "review",
    "rivals_of",
    "role_of",
    "rooms_of",
    "round_gate",
    "run",
    "run_coroutine",
    "scene_of",
    "select",
    "send",
    "send_subtask",
    "services_of",
    "stage_gate",
    "task_of",
    "titles_of",
    "unsettled",
    "until_of",
    "work_until",
    "worker_pieces",
)
