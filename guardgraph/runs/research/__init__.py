"""Answering questions from documents: reading, searching, extracting, citing."""

from __future__ import annotations

from guardgraph.runs.research.citation import (
    citation_of,
    first_line,
    source_line,
)
from guardgraph.runs.research.compose import (
    MADE_BY,
    Composed,
    compose,
)
from guardgraph.runs.research.documents import (
    BYTE_LIMIT,
    Document,
    Documents,
    Skipped,
    plain_path,
    read_documents,
)
from guardgraph.runs.research.extract import (
    Claim,
    claims_of,
    question_weights,
)
from guardgraph.runs.research.graph import (
    OFFLINE,
    research,
    team_of,
)
from guardgraph.runs.research.library import (
    Library,
)
from guardgraph.runs.research.model_team import (
    make_model_worker,
    make_model_writer,
)
from guardgraph.runs.research.offline import (
    make_worker,
    plan,
    write,
)
from guardgraph.runs.research.passages import (
    Passage,
    PassageKind,
    passages_of,
)
from guardgraph.runs.research.report import (
    check_citations,
)

__all__ = (
    "BYTE_LIMIT",
    "MADE_BY",
    "OFFLINE",
    "Claim",
    "Composed",
    "Document",
    "Documents",
    "Library",
    "Passage",
    "PassageKind",
    "Skipped",
    "check_citations",
    "citation_of",
    "claims_of",
    "compose",
    "first_line",
    "make_model_worker",
    "make_model_writer",
    "make_worker",
    "passages_of",
    "plain_path",
    "plan",
    "question_weights",
    "read_documents",
    "research",
    "source_line",
    "team_of",
    "write",
)
