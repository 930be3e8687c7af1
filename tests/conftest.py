"""What holds for every test: no network but loopback, no tracing, repeatable properties, no forgotten tenant."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.house import network
from tests.storage.sql.tenancy import check_every_statement

for _name in [name for name in os.environ if name.startswith(("LANGSMITH_", "LANGCHAIN_", "OPENAI_", "ANTHROPIC_"))]:
    del os.environ[_name]
os.environ["LANGSMITH_TRACING"] = "false"

network.block()
check_every_statement()

settings.register_profile("ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(autouse=True)
def stays_on_this_machine() -> Iterator[None]:
    """Fail a test that tried to leave this machine, even if the code under test swallowed the refusal."""
    network.attempts.clear()
    yield
    refused = list(network.attempts)
    network.attempts.clear()
    assert not refused, f"this test tried to leave the machine: {refused}"
