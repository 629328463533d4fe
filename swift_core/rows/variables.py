"""Variables of the chat template that a row sets for itself: `chat_template_kwargs`, and `enable_thinking` alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swift_core.rows.thoughts import OFF, ON
from swift_core.rows.values import Wrong, decoded, kind_of

NAMES = ("chat_template_kwargs", "enable_thinking")
# What the conversation itself decides, and no variable.
_DECIDED = """
messages conversation conversations tools documents chat_template add_generation_prompt continue_final_message tokenize return_dict
return_tensors return_assistant_tokens_mask tokenizer_kwargs padding truncation max_length strftime_now raise_exception
"""
_OURS = frozenset(_DECIDED.split())


def variables_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """The row's variables.

    Raises:
        Wrong: they are none, or say what is not theirs.
    """
    given = data.get(NAMES[0])
    found = {} if given in (None, "") else decoded(given, f"$.{NAMES[0]}")
    if not isinstance(found, Mapping):
        raise Wrong(f"$.{NAMES[0]}", f"must be an object, not {kind_of(found)}", '{"enable_thinking": false}, for example.')
    variables = {str(name): value for name, value in found.items() if value is not None}
    if taken := next((name for name in variables if name in _OURS), ""):
        raise Wrong(f"$.{NAMES[0]}.{taken}", f"'{taken}' is not a variable of a row", "Remove it.")
    thinking = data.get(NAMES[1])
    if thinking in (None, ""):
        return variables
    word = str(thinking).lower()
    if word not in (*ON, *OFF):
        raise Wrong(f"$.{NAMES[1]}", f"must be true or false, not {kind_of(thinking)}", "Correct it, or remove it.")
    thinks = word in ON
    if variables.setdefault(NAMES[1], thinks) is not thinks:
        raise Wrong(f"$.{NAMES[1]}", f"contradicts '{NAMES[0]}'", "Keep one of them.")
    return variables
