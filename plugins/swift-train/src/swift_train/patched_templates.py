"""Chat templates of models whose own can't be learned from, mended: by name, `--chat-template deepseek-r1-distill`.

One is offered to a model only where it renders the prompts of the model's own to the letter, so that engines send what they always sent.
Each file says where it comes from, under which licence, and what is changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

_SYSTEM = {"role": "system", "content": "Be brief."}
_TURNS = ({"role": "user", "content": "?"}, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "And?"})
_PROMPTS = (_TURNS[:1], _TURNS, (_SYSTEM, *_TURNS))


@cache
def patched_templates() -> Mapping[str, str]:
    """The texts of all, by name."""
    folder = files("swift_train") / "chat_templates"
    found = {
        path.name.removesuffix(".jinja"): path.read_text(encoding="utf-8") for path in folder.iterdir() if path.name.endswith(".jinja")
    }
    return dict(sorted(found.items()))


def matching_patch(tokenizer: Any) -> str:
    """The name of the one that renders prompts as the tokenizer's own template does; '' if there is none."""
    own = [_prompt(tokenizer, messages, None) for messages in _PROMPTS]
    return next(
        (name for name, text in patched_templates().items() if own == [_prompt(tokenizer, messages, text) for messages in _PROMPTS]), ""
    )


def _prompt(tokenizer: Any, messages: Any, template: str | None) -> str | None:
    try:
        return str(tokenizer.apply_chat_template(list(messages), chat_template=template, tokenize=False, add_generation_prompt=True))
    except Exception:  # a template may refuse anything, in any way
        return None
