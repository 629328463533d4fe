"""Named sets of patterns with loss weights (`swift_train.token_weights`), after what ms-swift's sets weight."""

from __future__ import annotations

from collections.abc import Mapping

_KEYS = r"(?=Thought:|Final Answer:|Observation:|Action:|ACTION:|$)"
SETS: Mapping[str, Mapping[str, float]] = {
    "empty-think": {r"^(?:<think>\s*)?</think>\s*": 0, r"^<\|channel>thought\n<channel\|>": 0, r"^</mm:think>\s*": 0},
    "think-prefix": {r"^<think>\n?": 0},
    "hermes": {"<tool_call>.+?</tool_call>": 2},
    "react": {rf"Action(?: Input)?:.*?{_KEYS}": 2, "Observation:": 2, rf"(?<=Observation:).*?{_KEYS}": 0},
    "alpha-umi": {rf"(?:Action|Action Input|Next):.*?{_KEYS}": 2, "Observation:": 2, rf"(?<=Observation:).*?{_KEYS}": 0},
    "qwen-functions": {"✿FUNCTION✿:.*?(?=✿RETURN✿:|✿RESULT✿:|$)": 2, "✿RESULT✿:": 2, "(?<=✿RESULT✿:).*?(?=✿RETURN✿:|$)": 0},
}
OTHER_NAMES = {  # ms-swift's → here
    "ignore_empty_think": "empty-think", "ignore_think_prefix": "think-prefix", "alpha_umi": "alpha-umi", "qwen": "qwen-functions",
}  # fmt: skip
