"""The patterns, and the builder for patterns of your own."""

from __future__ import annotations

from guardgraph.graphs.auction import auction
from guardgraph.graphs.consensus import consensus
from guardgraph.graphs.draw.picture import Picture, draw
from guardgraph.graphs.estimate import Estimate, estimate
from guardgraph.graphs.guarded import GuardedState, guarded
from guardgraph.graphs.hierarchy import hierarchy
from guardgraph.graphs.lint import Finding, lint
from guardgraph.graphs.load import Assumptions, Load
from guardgraph.graphs.pipeline import pipeline
from guardgraph.graphs.reactive import reactive
from guardgraph.graphs.router import RouterState, router
from guardgraph.graphs.stage import Parallel, SendBack, Stage
from guardgraph.graphs.subscription import Subscription
from guardgraph.graphs.supervisor import WideTeamWarning, supervisor
from guardgraph.graphs.swarm import swarm
from guardgraph.graphs.team import Team
from guardgraph.graphs.tier import Tier
from guardgraph.nodes.decisions.ballots import ApprovalBallot, RankingBallot, VoteCount
from guardgraph.nodes.decisions.ranked_vote import borda, schulze
from guardgraph.nodes.decisions.rubric import CandidateChoice, CandidateScore, Criterion, Rubric, RubricScores
from guardgraph.nodes.decisions.rule import Rule
from guardgraph.nodes.decisions.swarm_state import SwarmState
from guardgraph.nodes.decisions.vote import approval, confidence_weighted, majority, plurality, supermajority
from guardgraph.nodes.gate_context import GateContext
from guardgraph.runtime.boards.declaration import Board

__all__ = (
    "ApprovalBallot",
    "Assumptions",
    "Board",
    "CandidateChoice",
    "CandidateScore",
    "Criterion",
    "Estimate",
    "Finding",
    "GateContext",
    "GuardedState",
    "Load",
    "Parallel",
    "Picture",
    "RankingBallot",
    "RouterState",
    "Rubric",
    "RubricScores",
    "Rule",
    "SendBack",
    "Stage",
    "Subscription",
    "SwarmState",
    "Team",
    "Tier",
    "VoteCount",
    "WideTeamWarning",
    "approval",
    "auction",
    "borda",
    "confidence_weighted",
    "consensus",
    "draw",
    "estimate",
    "guarded",
    "hierarchy",
    "lint",
    "majority",
    "pipeline",
    "plurality",
    "reactive",
    "router",
    "schulze",
    "supermajority",
    "supervisor",
    "swarm",
)
