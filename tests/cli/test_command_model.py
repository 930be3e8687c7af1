from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from guardgraph.cli.entry import main
from tests.loopback import (
    OpenAIServer,
    Response,
    cut_connection,
    malformed_tool_call,
    server_error,
    text,
    too_many_requests,
)

QUOTE = "Replace brake pads when less than 1.5 millimetres is left."


def system_of(body: dict[str, Any]) -> str:
    return str(body["messages"][0]["content"])


def answer(body: dict[str, Any]) -> Response:
    """Plan once, extract one claim, write one sentence."""
    system, given = system_of(body), str(body["messages"][-1]["content"])
    if "You plan" in system:
        subtasks = [] if "Accepted results" in given else [{"id": "a", "goal": "brake pads"}]
        return text(json.dumps({"subtasks": subtasks, "reasoning": ""}))
    if "You extract" in system:
        return text(json.dumps({"claims": [{"text": "At 1.5 mm.", "source": "pads.md", "quote": QUOTE}]}))
    return text("Pads go at 1.5 mm [1].")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a document and a key that opens nothing."""
    (tmp_path / "pads.md").write_text(f"# Pads\n\n{QUOTE}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUARDGRAPH_DB", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "test-key")
    return tmp_path


def researched(server: OpenAIServer, monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    model = "openai:gpt-4o-mini"
    return main(["research", "When are brake pads replaced?", "pads.md", "--model", model, "--json", *options])


def test_a_real_client_plans_reads_and_writes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with OpenAIServer(answer) as server:
        assert researched(server, monkeypatch, "--budget", "1.00", "--tokens", "100000") == 0

    run = json.loads(capsys.readouterr().out)
    assert run["status"] == "completed"
    assert "Pads go at 1.5 mm [1]." in run["outcome"]["value"]["report"]
    assert run["outcome"]["value"]["citations"][0]["line"] == 3
    assert run["usage"]["tokens"] == 18 * len(server.requests)
    assert all(request.body.get("max_completion_tokens") for request in server.requests)


@pytest.mark.parametrize("role", ["You plan", "You extract", "You write"])
@pytest.mark.parametrize(
    "fault", [too_many_requests(), server_error(), cut_connection(), malformed_tool_call("Plan"), text("no JSON")]
)
def test_a_fault_that_passes_is_tried_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, fault: Response, role: str
) -> None:
    faults = [fault]

    def once(body: dict[str, Any]) -> Response:
        return faults.pop() if faults and role in system_of(body) else answer(body)

    with OpenAIServer(once) as server:
        assert researched(server, monkeypatch) == 0

    run = json.loads(capsys.readouterr().out)
    assert (run["status"], faults) == ("completed", [])
    assert run["outcome"]["value"]["citations"][0]["quote"] == QUOTE


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (too_many_requests(), "RateLimitError: Error code: 429"),
        (server_error(), "Error code: 500 - the server is ill"),
        (cut_connection(), "Connection error"),
        (malformed_tool_call("Plan"), "the model's answer cannot be read: Invalid json output"),
        (Response(status=401, error="wrong key"), "AuthenticationError: Error code: 401"),
        (Response(status=404, error="no such model"), "NotFoundError: Error code: 404"),
    ],
)
def test_a_provider_that_always_fails_is_named_in_a_failed_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, fault: Response, reason: str
) -> None:
    with OpenAIServer(lambda body: fault) as server:
        assert researched(server, monkeypatch) == 1

    out, err = capsys.readouterr()
    assert err == ""
    run = json.loads(out)
    assert run["status"] == "failed"
    assert reason in run["outcome"]["gaps"][0]["reason"]


@pytest.mark.parametrize("fault", [too_many_requests(), cut_connection(), malformed_tool_call("Plan")])
def test_a_writer_that_always_fails_leaves_a_report_of_the_checked_claims(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, fault: Response
) -> None:
    with OpenAIServer(lambda body: fault if "You write" in system_of(body) else answer(body)) as server:
        assert researched(server, monkeypatch) == 0

    run = json.loads(capsys.readouterr().out)
    assert "- At 1.5 mm. [1]" in run["outcome"]["value"]["report"]


def test_a_reader_that_always_fails_is_a_gap_and_not_a_crash(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(body: dict[str, Any]) -> Response:
        return text("no JSON at all") if "You extract" in system_of(body) else answer(body)

    with OpenAIServer(broken) as server:
        code = researched(server, monkeypatch)

    run = json.loads(capsys.readouterr().out)
    assert code in (1, 3)
    assert run["status"] == "failed"
    assert [gap["subtask"] for gap in run["outcome"]["gaps"]] == ["a", "a~2"]
