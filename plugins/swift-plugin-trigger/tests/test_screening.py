"""What passes the screening, and what does not."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter
from swift_plugin_trigger.definition import Rule
from swift_plugin_trigger.screening import faults, language_of

EVENT = {"area": "Hengshan", "snow_cm": 35, "wind": 2.5, "from": "18:00", "people": 1200}
TEXTS = {
    "en": "Heavy snow warning for Hengshan: up to 35 cm of snow are expected. Stay at home.",
    "zh": "衡山暴雪预警：预计降雪量达到35厘米，请留在室内，不要驾车出行。",
    "es": "Aviso de nieve intensa en Hengshan: se esperan hasta 35 cm de nieve. Quédense en casa.",
    "fr": "Alerte à la neige à Hengshan : jusqu'à 35 cm de neige sont attendus. Restez chez vous.",
    "ja": "衡山に大雪警報が発表されました。35センチの積雪が予想されます。外出を控えてください。",
}


def rejected(text, **rule):
    values = {**EVENT, "event": EVENT, "code": "en"}
    return faults(text, [TypeAdapter(Rule).validate_python(rule)], values)


@pytest.mark.parametrize("code", TEXTS)
def test_the_language_is_recognised(code):
    assert language_of(TEXTS[code], tuple(TEXTS)) == code
    assert not rejected(TEXTS["en"], rule="language", **{"is": "{{ code }}", "of": list(TEXTS)})
    if code != "en":
        assert rejected(TEXTS[code], rule="language", **{"is": "{{ code }}", "of": list(TEXTS)})
    assert language_of("35 + 2") == ""


def test_lengths():
    assert not rejected("abc", rule="length", min=3, max=3)
    assert rejected("ab", rule="length", min=3, max=3)
    assert rejected("abcd", rule="length", min=3, max=3)


def test_what_is_forbidden_is_found_in_any_case():
    assert rejected("Do PANIC now", rule="forbidden", patterns=[r"\bpanic\b"]) == [r"forbidden: 'PANIC' (\bpanic\b)"]
    assert not rejected("no panicking", rule="forbidden", patterns=[r"\bpanic\b"])


def test_what_is_required_counts_in_any_width_and_script():
    rule = {"rule": "required", "texts": ["{{ snow_cm }}", "{{ area }}"]}
    assert not rejected("HENGSHAN: ３５ cm", **rule)
    assert not rejected("Hengshan ٣٥ cm", **rule)
    assert rejected("Hengshan: 30 cm", **rule) == ["required: '35' is missing"]


@pytest.mark.parametrize(
    "text", ["35 cm", "３５ cm", "2,5 m/s", "2.50 m/s", "from 18:00", "1,200 people", "1.200 people", "no number", "٣٥"]
)
def test_numbers_of_the_event_are_known(text):
    assert not rejected(text, rule="numbers")


@pytest.mark.parametrize("text", ["36 cm", "350 cm", "25 m/s", "19:00", "12 people", "3.5 cm"])
def test_other_numbers_are_invented(text):
    assert rejected(text, rule="numbers")
    assert not rejected("call 112", rule="numbers", allowed=["112"])
