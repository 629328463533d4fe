"""Write the rows for training and evaluation: alerts drawn by a fixed seed, their texts from `texts.py`.

    python make_data.py

Every row names where it is from. Two areas occur in the evaluation alone.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from texts import ADVICE, AREAS, LANGUAGES, area_of, prompt, warning

HERE = Path(__file__).parent
PROVENANCE = {"source": "contrib/recipes/snow-alert/texts.py", "author": "the swift-core project", "licence": "Apache-2.0"}


def alerts(number: int, areas: tuple[tuple[str, str, str], ...], seed: int) -> list[dict[str, Any]]:
    """Return so many alerts."""
    draw = random.Random(seed)
    found = []
    for _ in range(number):
        begins = draw.randrange(24)
        found.append({
            "area": area_of(draw.choice(areas)),
            "level": draw.choice(["yellow", "orange", "red"]),
            "snow_cm": draw.randrange(5, 80),
            "begins": f"{begins:02}:00",
            "ends": f"{(begins + draw.randrange(4, 18)) % 24:02}:00",
            "advice": draw.sample(sorted(ADVICE), 2),
        })  # fmt: skip
    return found


def lines(rows: list[dict[str, Any]]) -> str:
    """Return rows as JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def training() -> list[dict[str, Any]]:
    """Return chat rows: five languages of 48 alerts."""
    return [
        {
            "messages": [{"role": "user", "content": prompt(alert, language)}, {"role": "assistant", "content": warning(alert, language)}],
            "provenance": {**PROVENANCE, "language": language, "alert": number},
        }
        for number, alert in enumerate(alerts(48, AREAS[:-2], seed=1))
        for language in LANGUAGES
    ]


def evaluation() -> list[dict[str, Any]]:
    """Return questions with their answers: five languages of 6 alerts in areas that the training does not have."""
    return [
        {"id": f"{number}-{language}", "cluster": str(number), "question": prompt(alert, language), "answer": warning(alert, language)}
        for number, alert in enumerate(alerts(6, AREAS[-2:], seed=2))
        for language in LANGUAGES
    ]


if __name__ == "__main__":
    (HERE / "data" / "warnings.jsonl").write_text(lines(training()), encoding="utf-8")
    (HERE / "eval" / "messages.jsonl").write_text(lines(evaluation()), encoding="utf-8")
