"""Write trigger.yaml: the prompt, the rules and the fallback follow from `texts.py`, as the training rows do.

python make_trigger.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from texts import ADVICE, LANGUAGES, LEVELS, OPENINGS, PROMPT

HEADER = "# Written by make_trigger.py from texts.py. docs/how-to/trigger.md describes the fields.\n"
FORBIDDEN = [  # no promises, no alarm beyond the facts, no addresses that nobody has checked, no traces of a chat
    r"https?://|www\.", r"\bpanic", r"\bdie\b|\bdeath", "死亡", "恐慌", "谣言", "パニック", r"\bpánico", r"\bpanique",
    r"\bguarantee|\bgarantiz|\bgarantit", "绝对安全", "絶対に安全", r"\bas an ai\b", "人工智能", r"<\|", r"\{\{", "\ufffd",
]  # fmt: skip


def definition() -> dict[str, Any]:
    """Return the definition of the trigger."""
    values = {"area": "{{ area[id] }}", "level": "{{ levels[level] }}", "snow_cm": "{{ snow_cm }}", "begins": "{{ begins }}"}
    values |= {"ends": "{{ ends }}"}
    prompt = {**values, "level": "{{ level }}", "language": "{{ language }}", "advice": "{{ advice | join(', ') }}"}
    variants = [
        {
            "id": code, "language": name, "space": "" if code in ("zh", "ja") else " ", "levels": LEVELS[code],
            "advice_texts": {advice: texts[code] for advice, texts in ADVICE.items()},
        }
        for code, name in LANGUAGES.items()
    ]  # fmt: skip
    openings = "".join(f"{{% {'elif' if number else 'if'} id == '{code}' %}}{OPENINGS[code].format(**values)}"
                       for number, code in enumerate(LANGUAGES))  # fmt: skip
    return {
        "name": "snow-alert",
        "event": {"schema": "alert.schema.json", "id": "{{ identifier }}"},
        "http": {"port": 8080, "path": "/alerts"},
        "variants": variants,
        "answer": {
            "prompt": PROMPT.format(**prompt),
            "max_tokens": 320,
            "attempts": 3,
            "retry_temperature": 0.3,
            "patience": 120,
            "fallback": openings + "{% endif %}{% for each in advice %}{{ space }}{{ advice_texts[each] }}{% endfor %}",
        },
        "screen": [
            {"rule": "length", "min": 30, "max": 400},
            {"rule": "language", "is": "{{ id }}", "of": list(LANGUAGES)},
            {"rule": "required", "texts": ["{{ area[id] }}", "{{ snow_cm }}", "{{ begins }}", "{{ ends }}", "{{ levels[level] }}"]},
            {
                "rule": "required",
                "texts": [f"{{{{ advice_texts[advice[{number}]] if advice | length > {number} else '' }}}}" for number in range(3)],
            },
            {"rule": "numbers"},
            {"rule": "forbidden", "patterns": FORBIDDEN},
        ],
    }


if __name__ == "__main__":
    text = yaml.safe_dump(definition(), sort_keys=False, allow_unicode=True, width=140)
    (Path(__file__).parent / "trigger.yaml").write_text(HEADER + text, encoding="utf-8")
