from __future__ import annotations

import pytest

from guardgraph.text.parts import parts_of


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What limits the delegation depth of a nested team?", []),
        ("What is a lease and how long does it last?", []),
        ("What does a lease protect, and who can break it?", []),
        (
            "Where is oil kept, who pays for it, and when do pumps leak?",
            ["Where is oil kept, who pays for it", "when do pumps leak"],
        ),
        ("Who pays, when, where, why and how?", []),
        ("Red tape; blue tape\nthird point - fourth point", ["Red tape", "blue tape", "third point", "fourth point"]),
        ("Compare SQLite and PostgreSQL", []),
        ("Which guard stops?", []),
        ("How do I write my own guard?", []),
        (
            "How many days of leave do I have, and until when can unused leave be carried over?",
            ["How many days of leave do I have", "until when can unused leave be carried over"],
        ),
        (
            "Who signs the form and in which cases is a copy kept?",
            ["Who signs the form", "in which cases is a copy kept"],
        ),
        ("Where are checkpoints stored, and for how long?", []),
        (
            "How many days of leave do I have, and do I need a receipt for a taxi?",
            ["How many days of leave do I have", "do I need a receipt for a taxi"],
        ),
        ("Who signs the form, and does the office pay?", ["Who signs the form", "does the office pay"]),
        ("Who signs the form, and are dogs allowed?", ["Who signs the form", "are dogs allowed"]),
        ("Who signs the form and must the office pay?", ["Who signs the form", "must the office pay"]),
        ("May I take a taxi or have we a car?", ["May I take a taxi", "have we a car"]),
        ("How do I install and do backups?", []),
        ("How do I install and do the backups?", []),
        ("Who may drive, and must not drink?", []),
        ("Which guards are pure and are called twice?", []),
        ("What is the book that he may and will read?", []),
        ("List 1. the on-call pay 2. the hotel limit", []),
        ("1. What is the pay? 2. What is the limit?", ["What is the pay", "What is the limit"]),
        ("1. the on-call pay\n2. the hotel limit", ["the on-call pay", "the hotel limit"]),
        ("What is plan B. of J. Smith", []),
        ("budget", []),
        ("???", []),
        ("budget and budgets", []),
    ],
)
def test_a_question_is_split_into_its_parts(question: str, expected: list[str]) -> None:
    parts = parts_of(question)

    assert (parts if len(parts) > 1 else []) == expected
