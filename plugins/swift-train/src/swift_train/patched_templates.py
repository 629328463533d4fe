"""Fixed versions of chat templates that can't be used for training, chosen by name: `--chat-template deepseek-r1-distill`.

One is suggested for a model only if it renders prompts exactly as the model's own template does, so that inference engines send the same
prompts as before. Each file states its origin, its licence and the changes.
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
    """Return the bundled chat templates: name → Jinja source."""
    folder = files("swift_train") / "chat_templates"
    found = {
        path.name.removesuffix(".jinja"): path.read_text(encoding="utf-8") for path in folder.iterdir() if path.name.endswith(".jinja")
    }
    return dict(sorted(found.items()))


def matching_patch(tokenizer: Any) -> str:
    """Return the name of the bundled template that renders prompts as the tokenizer's own does; '' if there is none."""
    own = [_prompt(tokenizer, messages, None) for messages in _PROMPTS]
    return next(
        (name for name, text in patched_templates().items() if own == [_prompt(tokenizer, messages, text) for messages in _PROMPTS]), ""
    )


def _prompt(tokenizer: Any, messages: Any, template: str | None) -> str | None:
    try:
        return str(tokenizer.apply_chat_template(list(messages), chat_template=template, tokenize=False, add_generation_prompt=True))
    except Exception:  # a template may refuse anything, in any way
        return None
