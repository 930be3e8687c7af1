from __future__ import annotations

import subprocess
import sys
from decimal import Decimal

import pytest

from guardgraph.models.prices import own_price, price_key, price_of
from guardgraph.state import ModelPrice, Price


def known(provider: str | None, model: str | None) -> ModelPrice:
    price = price_of(provider, model)
    assert price is not None
    return price


def test_a_known_model_costs_input_and_output_exactly() -> None:
    price = known("openai", "gpt-4o-mini")

    assert price.usd(1_000_000, 0) == Decimal("0.15")
    assert price.usd(0, 1_000_000) == Decimal("0.6")
    assert price.usd(1_000, 100) == Decimal("0.00021")
    assert price.usd(0, 0) == 0


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "no-such-model"),
        ("no-such-provider", "gpt-4o-mini"),
        (None, "no-such-model"),
        ("openai", None),
        ("openai", ""),
        (None, None),
    ],
)
def test_an_unknown_price_is_none_and_never_zero(provider: str | None, model: str | None) -> None:
    assert price_of(provider, model) is None


def test_offline_models_are_free() -> None:
    assert known("offline", "extractive").usd(1_000_000, 1_000_000) == 0
    assert known("offline", None).usd(1, 1) == 0


def test_without_a_provider_the_maker_of_the_model_is_assumed() -> None:
    assert known(None, "gpt-4o-mini").usd(1_000, 100) == known("openai", "gpt-4o-mini").usd(1_000, 100)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("anthropic", "claude-sonnet-4-5"),
        ("google_genai", "gemini-2.5-pro"),
        ("google_vertexai", "gemini-2.5-pro"),
        ("amazon_bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("mistralai", "mistral-large-latest"),
        ("azure", "gpt-5"),
        ("xai", "grok-4"),
    ],
)
def test_providers_are_known_by_the_names_that_langchain_gives_them(provider: str, model: str) -> None:
    assert known(provider, model).usd(1_000, 1_000) > 0


def test_long_prompts_cost_their_higher_tier() -> None:
    price = known("google", "gemini-2.5-pro")

    assert price.usd(400_000, 0) > 2 * price.usd(200_000, 0)


@pytest.mark.parametrize(
    ("provider", "model", "parts", "usd"),
    [
        ("openai", "gpt-5-mini", {"cache_read_tokens": 800}, "0.00027"),
        ("openai", "gpt-5-mini", {"output_reasoning_tokens": 80}, "0.00045"),
        ("anthropic", "claude-sonnet-4-5", {"cache_write_tokens": 800}, "0.0051"),
        ("perplexity", "sonar-deep-research", {"output_reasoning_tokens": 80}, "0.0024"),
        ("openai", "gpt-5-mini", {"cache_read_tokens": 1_001}, "0.00045"),
        ("offline", "any", {"cache_read_tokens": 800}, "0"),
    ],
)
def test_tokens_with_prices_of_their_own_cost_what_the_provider_takes_for_them(
    provider: str, model: str, parts: dict[str, int], usd: str
) -> None:
    assert known(provider, model).usd(1_000, 100, parts) == Decimal(usd)


@pytest.mark.parametrize(("read", "written"), [(-1, 0), (0, -1)])
def test_a_negative_number_of_tokens_is_refused(read: int, written: int) -> None:
    with pytest.raises(ValueError, match="tokens must not be negative, got"):
        known("openai", "gpt-4o-mini").usd(read, written)


def test_a_price_is_looked_up_once() -> None:
    known("openai", "gpt-4o-mini")

    assert price_of("openai", "gpt-4o-mini") is price_of("openai", "gpt-4o-mini")


def test_the_table_is_read_at_the_first_price_and_not_before() -> None:
    program = "import sys, guardgraph.models.prices; print('genai_prices' in sys.modules)"

    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "False\n"
    )


@pytest.mark.parametrize(("provider", "model"), [("cerebras", "qwen-3-coder-480b"), ("openai", "whisper-1")])
def test_an_entry_of_the_table_without_a_price_of_tokens_is_unknown(provider: str, model: str) -> None:
    assert price_of(provider, model) is None


def test_what_a_provider_gives_away_is_free() -> None:
    assert known("openrouter", "deepseek/deepseek-r1:free").is_free
    assert known("openrouter", "deepseek/deepseek-r1:free").usd(1_000, 1_000) == 0


OWN = {"large": Price(1, 1), "inhouse:large": Price(2, 2), "inhouse:*": Price(3, 3)}


@pytest.mark.parametrize(
    ("provider", "models", "found"),
    [
        ("inhouse", ("large",), 2), ("other", ("large",), 1), (None, ("large",), 1), ("inhouse", ("small",), 3),
        ("inhouse", ("large-2026", "large"), 2), ("inhouse", (None,), 3), ("other", ("small",), None),
        (None, (None,), None),
    ],
)  # fmt: skip
def test_declared_prices_are_found_by_name(
    provider: str | None, models: tuple[str | None, ...], found: int | None
) -> None:
    price = own_price(OWN, provider, *models)

    assert (None if price is None else price.input) == found
    assert own_price({}, provider, *models) is None


def test_the_name_of_a_declared_price_is_that_under_which_it_is_found() -> None:
    assert [price_key("a", "b"), price_key("a", None), price_key(None, "b")] == ["a:b", "a:*", "b"]
