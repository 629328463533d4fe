"""The texts of the warnings in five languages, written for this project, and how they are put together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LANGUAGES = {"zh": "Chinese", "en": "English", "es": "Spanish", "fr": "French", "ja": "Japanese"}

PROMPT = (
    "Write a public snow warning in {language}. Area: {area}. Level: {level}. Snow: {snow_cm} cm. "
    "From {begins} to {ends}. Advice: {advice}."
)

LEVELS = {
    "zh": {"yellow": "黄色", "orange": "橙色", "red": "红色"},
    "en": {"yellow": "Yellow", "orange": "Orange", "red": "Red"},
    "es": {"yellow": "amarillo", "orange": "naranja", "red": "rojo"},
    "fr": {"yellow": "jaune", "orange": "orange", "red": "rouge"},
    "ja": {"yellow": "黄色", "orange": "オレンジ", "red": "赤"},
}

OPENINGS = {
    "zh": "{area}发布暴雪{level}预警：{begins}至{ends}降雪量可达{snow_cm}厘米。",
    "en": "{level} snow warning for {area}: up to {snow_cm} cm of snow from {begins} to {ends}.",
    "es": "Aviso {level} por nieve en {area}: hasta {snow_cm} cm de nieve entre las {begins} y las {ends}.",
    "fr": "Vigilance {level} neige à {area} : jusqu'à {snow_cm} cm de neige entre {begins} et {ends}.",
    "ja": "【大雪警報・{level}】{area}では{begins}から{ends}にかけて、最大{snow_cm}センチの降雪が見込まれます。",
}

ADVICE = {
    "stay_indoors": {
        "zh": "如无必要，请勿外出。",
        "en": "Stay indoors unless you must go out.",
        "es": "Quédese en casa salvo necesidad.",
        "fr": "Restez chez vous sauf nécessité.",
        "ja": "不要不急の外出は控えてください。",
    },
    "avoid_driving": {
        "zh": "请勿驾车出行，道路可能受阻。",
        "en": "Do not drive: roads may be blocked.",
        "es": "No conduzca: las carreteras pueden quedar cortadas.",
        "fr": "Ne prenez pas la voiture : des routes peuvent être coupées.",
        "ja": "道路が通れなくなるおそれがあるため、車の運転は避けてください。",
    },
    "check_neighbours": {
        "zh": "请关照身边的老人。",
        "en": "Check on elderly neighbours.",
        "es": "Pregunte por sus vecinos mayores.",
        "fr": "Prenez des nouvelles de vos voisins âgés.",
        "ja": "近所の高齢者に声をかけてください。",
    },
    "charge_phones": {
        "zh": "请为手机充电并备好手电筒，以防停电。",
        "en": "Charge your phone and keep a torch ready: the power may fail.",
        "es": "Cargue el móvil y tenga una linterna a mano: puede irse la luz.",
        "fr": "Chargez votre téléphone et gardez une lampe à portée de main : le courant peut être coupé.",
        "ja": "停電に備え、携帯電話を充電し、懐中電灯を用意してください。",
    },
    "keep_warm": {
        "zh": "请注意保暖，切勿在室内烧炭取暖。",
        "en": "Keep warm, and never burn charcoal indoors.",
        "es": "Manténgase abrigado y nunca queme carbón dentro de casa.",
        "fr": "Restez au chaud et ne brûlez jamais de charbon à l'intérieur.",
        "ja": "暖かくして過ごし、室内で炭を燃やさないでください。",
    },
}

AREAS = (  # names in Chinese, in Latin letters, and in Japanese
    ("张家口", "Zhangjiakou", "張家口"),
    ("哈尔滨", "Harbin", "ハルビン"),
    ("呼伦贝尔", "Hulunbuir", "フルンボイル"),
    ("长白山", "Changbaishan", "長白山"),
    ("阿勒泰", "Altay", "アルタイ"),
    ("漠河", "Mohe", "漠河"),
    ("牡丹江", "Mudanjiang", "牡丹江"),
    ("延吉", "Yanji", "延吉"),
    ("承德", "Chengde", "承徳"),
    ("伊春", "Yichun", "伊春"),
)


def area_of(names: tuple[str, str, str]) -> dict[str, str]:
    """Return the name of an area by language."""
    chinese, latin, japanese = names
    return {"zh": chinese, "en": latin, "es": latin, "fr": latin, "ja": japanese}


def warning(alert: Mapping[str, Any], language: str) -> str:
    """Return the warning of an alert in a language."""
    values = {**alert, "area": alert["area"][language], "level": LEVELS[language][alert["level"]]}
    space = "" if language in ("zh", "ja") else " "
    return space.join([OPENINGS[language].format(**values), *(ADVICE[code][language] for code in alert["advice"])])


def prompt(alert: Mapping[str, Any], language: str) -> str:
    """Return what the model is asked; trigger.yaml has the same as a template."""
    advice = ", ".join(alert["advice"])
    return PROMPT.format(**{**alert, "area": alert["area"][language], "advice": advice, "language": LANGUAGES[language]})
