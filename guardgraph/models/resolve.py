"""Resolving the name of a model."""

from __future__ import annotations

import re
from pathlib import Path

from langchain_core.language_models.chat_models import BaseChatModel

from guardgraph.models.offline.extractive import ExtractiveModel
from guardgraph.models.offline.replay import ReplayModel
from guardgraph.state import MissingExtra, MissingKey, UnknownModel

__all__ = ("resolve_model",)

_KEY = re.compile(r"\b[A-Z][A-Z0-9_]*_(?:API_)?(?:KEY|TOKEN)\b")
_ABOUT_A_KEY = re.compile(r"api[_ -]?key|api[_ -]?token|credential", re.IGNORECASE)
_KEYS = {"google_genai": "GOOGLE_API_KEY", "mistralai": "MISTRAL_API_KEY", "azure_openai": "AZURE_OPENAI_API_KEY"}
_PIP = re.compile(r"pip install [`'\"]?([\w.-]+)")
_OFFLINE = "`offline:extractive` or `offline:replay:FILE`"


def resolve_model(model: str | BaseChatModel, *, retries: bool = True) -> BaseChatModel:
    """Return the chat model that `model` names; a chat model is returned as it is.

    Names are `offline:extractive`, `offline:replay:FILE`, or `provider:model` as LangChain's `init_chat_model` knows
    them (extra `agents`). No name is guessed: without a provider it raises `UnknownModel`, as for an unknown one. It
    raises `MissingExtra` where a package is not installed and `MissingKey` where the client finds no key. No call is
    made: a wrong key or model name shows at the first one. Without `retries` the client of a name repeats no call.
    """
    if isinstance(model, BaseChatModel):
        return model
    provider, colon, name = model.strip().partition(":")
    if not colon or not provider or not name:
        raise UnknownModel(model, f"write it as `provider:model`, such as `openai:gpt-5-mini`, or take {_OFFLINE}")
    return _offline(model, name) if provider == "offline" else _online(model, provider, name, retries=retries)


def _offline(model: str, name: str) -> BaseChatModel:
    kind, _, rest = name.partition(":")
    match kind:
        case "extractive" if not rest:
            return ExtractiveModel()
        case "replay" if rest and not Path(rest).is_file():
            raise UnknownModel(model, f"file {rest!r} does not exist; record answers into it with `record`")
        case "replay" if rest:
            return ReplayModel(file=Path(rest))
        case "replay":
            raise UnknownModel(model, "name the file of recorded answers: `offline:replay:FILE`")
        case "scripted":
            raise UnknownModel(
                model, "a script has no name; pass ScriptedModel(replies=[…]) of guardgraph.models.offline"
            )
        case _:
            raise UnknownModel(model, f"there is no such offline model; take {_OFFLINE}")


def _online(model: str, provider: str, name: str, *, retries: bool) -> BaseChatModel:
    try:
        from langchain.chat_models import init_chat_model
    except ImportError as error:
        raise MissingExtra("langchain", extra="agents", needed_for=f"model {model!r}") from error
    try:
        made = init_chat_model(name, model_provider=provider)
        if retries or not hasattr(made, "max_retries"):
            return made
        return init_chat_model(name, model_provider=provider, max_retries=1 if "Google" in type(made).__name__ else 0)
    except ImportError as error:
        named = _PIP.search(str(error))
        package = named.group(1) if named else f"langchain-{provider}"
        raise MissingExtra(package, needed_for=f"model {model!r}") from error
    except Exception as error:
        if "Unsupported provider" in str(error):
            raise UnknownModel(model, f"LangChain knows no provider {provider!r}; or take {_OFFLINE}") from error
        if _ABOUT_A_KEY.search(str(error)):
            raise MissingKey(model, variable=_variable(provider, str(error))) from error
        first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UnknownModel(model, f"its client raised: {first_line}") from error


def _variable(provider: str, message: str) -> str:
    named = _KEY.search(message)
    return named.group() if named else _KEYS.get(provider, f"{provider.upper().replace('-', '_')}_API_KEY")
