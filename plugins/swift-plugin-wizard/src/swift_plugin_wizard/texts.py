"""Texts of the wizard in English and Chinese."""

from __future__ import annotations

import locale
import os
from collections.abc import Mapping

LANGUAGES = ("en", "zh")

_TEXTS: Mapping[str, tuple[str, str]] = {
    "goal": ("What do you want?", "您想做什么？"),
    "answer": ("A model that answers like my examples", "让模型按我的示例回答"),
    "know": ("A model that knows my texts", "让模型学习我的文本"),
    "prefer": ("A model that prefers one answer to another", "让模型偏好某一种回答"),
    "classify": ("A model that classifies texts", "让模型对文本分类"),
    "talk": ("Chat with a model", "和模型对话"),
    "model": ("Which model?", "使用哪个模型？"),
    "other model": ("another: folder or reference (hf:org/name, ms:org/name)", "其他：模型文件夹或模型 ID（hf:org/name、ms:org/name）"),
    "model name": ("Folder or reference of the model:", "模型文件夹或模型 ID："),
    "here": ("on this machine", "本机已有"),
    "fits": ("fits this machine", "本机可以训练"),
    "large": ("too large for this machine", "超出本机内存"),
    "data": ("Where is the data? A file, a folder, or a name:", "数据在哪里？文件、文件夹或数据集名称："),
    "time": ("How long may it take?", "可以花多长时间？"),
    "minutes": ("a few minutes: a first try", "几分钟：先试一试"),
    "hour": ("about an hour", "大约一小时"),
    "night": ("overnight", "一个晚上"),
    "file": ("Which file should it be written to?", "写入哪个文件？"),
    "start": ("Start now?", "现在开始吗？"),
    "row": ("The first row:", "第一条数据："),
    "mask": ("As the model sees it; it is trained on what is in ⟦ ⟧:", "模型看到的内容，其中 ⟦ ⟧ 内的部分参与训练："),
    "rows": ("{rows} rows, {bad} of them invalid", "共 {rows} 条数据，其中 {bad} 条无效"),
    "written": ("Written: {file}", "已写入：{file}"),
    "command": ("The same as a command:", "等价的命令："),
    "plan": ("Plan:", "资源预估："),
    "later": ("Start it with: {command}", "启动命令：{command}"),
}


def text(name: str, language: str, **values: object) -> str:
    """Return a text in a language."""
    return _TEXTS[name][LANGUAGES.index(language)].format(**values)


def language_of_locale() -> str:
    """Return zh for a Chinese locale, else en."""
    named = next((value for key in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := os.environ.get(key))), "")
    return "zh" if (named or locale.getlocale()[0] or "").lower().startswith(("zh", "chinese")) else "en"
