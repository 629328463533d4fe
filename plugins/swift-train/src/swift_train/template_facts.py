"""Facts about a chat template for the manifest: stop tokens, default system prompt, and golden conversations as token ids.

A server that renders the golden conversations to other token ids gives the model other text than it was trained on.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from swift_formats.generation_config import repaired_generation_config

from swift_core.checkpoints import Golden, TemplateFacts
from swift_train.processors import tokenizer_of
from swift_train.template_date import DATES, date_of, frozen_date, renders_date

_TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather in a city, now.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "description": "Name of the city."}, "unit": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]
_ARGUMENTS = {"city": "Reykjavík", "unit": "celsius"}
_CALL = {"type": "function", "id": "a1b2c3d4e", "function": {"name": "get_weather", "arguments": _ARGUMENTS}}
_TOOL_TEXTS = ("The weather in a city, now.", "Reykjav", "7 degrees")  # occur only in the tool, the call and its result

_GOLDEN: tuple[Golden, ...] = (
    {"name": "plain", "messages": [{"role": "user", "content": "What is the capital of France?"}]},  # shows a default system prompt
    {
        "name": "turns",
        "messages": [
            {"role": "system", "content": "Answer in one word."},
            {"role": "user", "content": "2 + 2?"},
            {"role": "assistant", "content": "Four."},
            {"role": "user", "content": "And 3 × 3?"},
        ],
    },
    {
        "name": "tools",
        "tools": _TOOLS,
        "messages": [
            {"role": "user", "content": "How warm is it in the capital of Iceland?"},
            {"role": "assistant", "content": "", "tool_calls": [_CALL]},
            {"role": "tool", "content": "7 degrees", "tool_call_id": "a1b2c3d4e", "name": "get_weather"},
        ],
    },
)


def golden(processor: Any, date: str = "") -> tuple[Golden, ...]:
    """Return golden conversations with the token ids that they must render to on every server of the checkpoint.

    Conversations that the template rejects, and tool calls that it does not render, are omitted. If the template renders the date, `varies`
    is the half-open range of tokens that differ on other days.

    Args:
        processor: of the checkpoint.
        date: day of the renderings; by default the one fixed for the tokenizer, otherwise today.
    """
    day = date or date_of(tokenizer_of(processor))
    return tuple(_with_ids(processor, entry, ids) for entry, _, ids in _golden(processor, day))


def golden_texts(processor: Any) -> list[tuple[str, list[int]]]:
    """Return the rendered golden conversations as (text, token ids)."""
    return [(text, ids) for _, text, ids in _golden(processor, date_of(tokenizer_of(processor)))]


def template_facts(processor: Any) -> TemplateFacts:
    """Return the manifest's facts about the chat template; empty if there is none."""
    tokenizer = tokenizer_of(processor)
    template = getattr(processor, "chat_template", None) or tokenizer.chat_template
    if not template:
        return {}
    facts: TemplateFacts = {
        "hash": hashlib.sha256(str(template).encode()).hexdigest(),
        "stop": tokenizer.convert_ids_to_tokens(stop_ids(processor)),
    }
    if renders_date(tokenizer):
        facts |= {"dated": True, "date": date_of(tokenizer)}
    elif (default := _default_system(tokenizer)) is not None:
        facts["default_system"] = default
    return facts


def generation_config(model: Any, processor: Any) -> Any:
    """Return the model's generation config, with the chat template's end-of-turn tokens added to its stop tokens."""
    config = copy.deepcopy(model.generation_config)
    repaired_generation_config(config)
    own = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    if stops := list(dict.fromkeys([*stop_ids(processor), *(token for token in own if token is not None)])):
        tokenizer = tokenizer_of(processor)
        config.eos_token_id = stops[0] if len(stops) == 1 else stops
        config.bos_token_id = tokenizer.bos_token_id
        config.pad_token_id = tokenizer.pad_token_id
    return config


def generation_facts(model: Any, processor: Any) -> dict[str, Any]:
    """Return the generation config's non-default values for the manifest: an adapter folder has no generation_config.json.

    Empty for a model that does not generate.
    """
    if not model.can_generate():
        return {}
    values = generation_config(model, processor).to_diff_dict()
    return {name: value for name, value in values.items() if name not in ("transformers_version", "_from_model_config")}


def stop_ids(processor: Any) -> list[int]:
    """Return the ids of tokens that end the assistant's turn: the template's first special token after it, and the tokenizer's EOS."""
    tokenizer = tokenizer_of(processor)
    ends = [tokenizer.eos_token_id]
    answer = "∎"
    text = _render(tokenizer, [{"role": "user", "content": "?"}, {"role": "assistant", "content": answer}], prompt=False)
    if text is not None:
        special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
        tail = tokenizer(text.rpartition(answer)[2], add_special_tokens=False)["input_ids"]
        ends.insert(0, next((token for token in tail if token in special), None))
    return list(dict.fromkeys(token for token in ends if token is not None))


def _golden(processor: Any, date: str) -> Iterator[tuple[Golden, str, list[int]]]:
    tokenizer = tokenizer_of(processor)
    for entry in _GOLDEN:
        with frozen_date(date):
            text = _render(tokenizer, entry["messages"], entry.get("tools"))
        if text is None or ("tools" in entry and not all(fragment in text for fragment in _TOOL_TEXTS)):
            continue
        yield entry, text, tokenizer(text, add_special_tokens=False)["input_ids"]


def _with_ids(processor: Any, entry: Golden, ids: Sequence[int]) -> Golden:
    """Return a copy of the conversation with its token ids, and with the range of those that differ on other days, if any do."""
    whole: Golden = {**copy.deepcopy(entry), "ids": ids}
    others = [other for date in DATES for found, _, other in _golden(processor, date) if found is entry]
    first = min(_shared(ids, other) for other in others)
    if first == len(ids):
        return whole
    last = min(_shared(ids[:first:-1], other[:first:-1]) for other in others)
    return {**whole, "varies": [first, len(ids) - last]}


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Return the length of the common prefix of two lists of tokens."""
    return next((place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), min(len(one), len(other)))


def _default_system(tokenizer: Any) -> str | None:
    """Return the text that the template puts in place of a missing system message; None if it adds none."""
    probe, question = "∎probe∎", {"role": "user", "content": "?"}
    given, bare = _render(tokenizer, [{"role": "system", "content": probe}, question]), _render(tokenizer, [question])
    if given is None or bare is None or probe not in given:
        return None
    before, _, after = given.partition(probe)
    if not bare.startswith(before) or not bare.endswith(after) or len(bare) < len(before) + len(after):
        return None
    return bare[len(before) : len(bare) - len(after)]


def _render(
    tokenizer: Any, messages: Sequence[Mapping[str, Any]], tools: Sequence[Any] | None = None, *, prompt: bool = True
) -> str | None:
    """Render a conversation as text; None if there is no template or it raises an error."""
    if not tokenizer.chat_template:
        return None
    try:
        return str(tokenizer.apply_chat_template(list(messages), tools=tools, tokenize=False, add_generation_prompt=prompt))
    except Exception:  # a template may raise any error
        return None
