"""Chat template variables that a row sets: `chat_template_kwargs`, or `enable_thinking` alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swift_data.rows.thoughts import OFF, ON
from swift_data.rows.values import Wrong, decoded, kind_of

NAMES = ("chat_template_kwargs", "enable_thinking")
# Arguments of the chat template that are not the row's to set.
_DECIDED = """
messages conversation conversations tools documents chat_template add_generation_prompt continue_final_message tokenize return_dict
return_tensors return_assistant_tokens_mask tokenizer_kwargs padding truncation max_length strftime_now raise_exception
"""
_OURS = frozenset(_DECIDED.split())


def variables_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the chat template variables of a row.

    Raises:
        Wrong: they are not an object, contradict each other, or name a reserved argument.
    """
    given = data.get(NAMES[0])
    found = {} if given in (None, "") else decoded(given, f"$.{NAMES[0]}")
    if not isinstance(found, Mapping):
        raise Wrong(f"$.{NAMES[0]}", f"must be an object, not {kind_of(found)}", 'Example: {"enable_thinking": false}.', code="DATA-091")
    variables = {str(name): value for name, value in found.items() if value is not None}
    if taken := next((name for name in variables if name in _OURS), ""):
        raise Wrong(f"$.{NAMES[0]}.{taken}", f"'{taken}' is reserved and can't be set by a row", "Remove it.", code="DATA-110")
    thinking = data.get(NAMES[1])
    if thinking in (None, ""):
        return variables
    word = str(thinking).lower()
    if word not in (*ON, *OFF):
        raise Wrong(f"$.{NAMES[1]}", f"must be true or false, not {kind_of(thinking)}", "Correct it, or remove it.", code="DATA-024")
    thinks = word in ON
    if variables.setdefault(NAMES[1], thinks) is not thinks:
        raise Wrong(f"$.{NAMES[1]}", f"contradicts '{NAMES[0]}'", "Keep one of them.", code="DATA-111")
    return variables
