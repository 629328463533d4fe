"""Give the next free code of its area to every error that has none.

python docs/assign_codes.py
"""

from __future__ import annotations

import ast
import re
import sys

from error_codes import registered, retired
from error_sites import ROOT, Site, message_of, says_something, sites

_PLACES = (  # the first pattern that the path matches names the area of a new code
    (r"swift_core/(cli/env|environments)|swift_core/cli/provision", "ENV"),
    (r"swift_core/(cli/)?plugins|swift_core/cli/plugins|contract/(verb|specs|hookspecs)", "PLUGIN"),
    (r"swift_core/cli", "CLI"),
    (r"swift_core/options", "OPTION"),
    (r"swift_core/checkpoints", "CKPT"),
    (r"swift_core/contract/(reference|roles)|swift-hub/|swift-plugin-hubs/", "HUB"),
    (r"swift_core/system", "FILE"),
    (r"swift_core/", "RUN"),
    (r"swift-environments/", "ENV"),
    (r"swift-formats/", "CKPT"),
    (r"(swift-data|swift-corpus|swift-plugin-datasets)/", "DATA"),
    (r"swift-plugin-retrieval/", "TRAIN"),
    (r"(eval|evaluat)", "EVAL"),
    (r"swift-plugin-transformers/.*/tuners|swift-plugin-peft/|swift_train/(adapter|tuner)", "TUNER"),
    (r"swift-plugin-transformers/.*/(serving|server|api|engine|tool)|swift-http/", "SERVE"),
    (r"swift-plugin-(transformers|families)/|swift_train/auto_classes|contrib/swift-(compat|plugin-smollm2)/", "MODEL"),
    (r"swift-plugin-(deepspeed|fsdp|megatron|mesh)/|swift_train/(strateg|ddp|collective)", "PARALLEL"),
    (r"swift-(rollouts|plugin-grpo)/", "RL"),
    (r"swift-(train|plugin-(preference|classification))/", "TRAIN"),
    (r"swift-(nodes|plugin-(slurm|kubernetes|ray))/", "NODE"),
    (r"swift-plugin-(auto-gptq|autoawq|bnb|compressed-tensors|gptqmodel|torchao)/", "QUANT"),
    (r"openvino/.*/(serving|server|engine|backend|openai|chat|generat|request)", "SERVE"),
    (r"swift-plugin-(onnx|gguf|openvino|safetensors)/|llama_cpp/quantize|tensorrt/.*export", "EXPORT"),
    (r"swift-convert/", "CONVERT"),
    (r"swift-(serve|plugin-(vllm|sglang|lmdeploy|llama-cpp|tensorrt))/", "SERVE"),
    (r"swift-recipes/|contrib/recipes", "RECIPE"),
    (r"swift-report/", "REPORT"),
    (r"swift-plugin-import/", "IMPORT"),
    (r"swift-plan/", "PLAN"),
    (r"swift-plugin-wizard/", "WIZARD"),
    (r"swift-plugin-web/", "WEB"),
    (r"swift-testing/", "TEST"),
    (r"swift-sandbox/", "SANDBOX"),
    (r"swift-(provenance|plugin-audit)/", "AUDIT"),
    (r"swift-plugin-policy/", "POLICY"),
    (r"swift-plugin-bundle/", "BUNDLE"),
    (r"swift-gateway/", "GATEWAY"),
    (r"swift-plugin-image/", "IMAGE"),
    (r"swift-plugin-trigger/", "TRIGGER"),
    (r"contrib/", "PLUGIN"),
)


def assign() -> int:
    """Give a code to every error that has none; return how many there were."""
    last: dict[str, int] = {}
    for code in (*registered(), *retired()):
        area, _, number = code.partition("-")
        last[area] = max(last.get(area, 0), int(number))
    same = {(site.code.partition("-")[0], site.messages): site.code for site in sites() if site.code}
    edits: dict[str, list[tuple[int, int, str]]] = {}
    for site in sites():
        if site.code or site.passed:
            continue
        area = _area(site)
        text = _repeated(site.call)
        if not text:
            if (area, site.messages) not in same or not says_something(site.messages):
                last[area] = last.get(area, 0) + 1
                same[area, site.messages] = f"{area}-{last[area]:03}"
            text = f'"{same[area, site.messages]}"'
        edits.setdefault(site.file, []).append(_edit(site.call, text))
    for file, changes in edits.items():
        lines = (ROOT / file).read_bytes().splitlines(keepends=True)
        for line, column, text in sorted(changes, reverse=True):
            before = lines[line - 1][:column]
            follows = b"".join((*lines[: line - 1], before)).rstrip().endswith(b",")
            inserted = text.removeprefix(", ") if follows else text
            lines[line - 1] = before + inserted.encode() + lines[line - 1][column:]
        (ROOT / file).write_bytes(b"".join(lines))
    return sum(map(len, edits.values()))


def _area(site: Site) -> str:
    return next((area for pattern, area in _PLACES if re.search(pattern, site.file)), "PLUGIN")


def _repeated(call: ast.Call) -> str:
    """Return `error.code` for a call that repeats the message of another error or problem."""
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    message, hint = named.get("message") or message_of(call), named.get("hint")
    if isinstance(message, ast.Attribute) and message.attr == "message":
        return f"{ast.unparse(message.value)}.code"
    if isinstance(hint, ast.Attribute) and hint.attr == "hint" and message and f"{ast.unparse(hint.value)}.message" in ast.unparse(message):
        return f"{ast.unparse(hint.value)}.code"
    return ""


def _edit(call: ast.Call, text: str) -> tuple[int, int, str]:
    """Return line, column and text to insert: before the first keyword, or at the end."""
    if call.keywords:
        first = min(call.keywords, key=lambda keyword: (keyword.lineno, keyword.col_offset))
        return first.lineno, first.col_offset, f"code={text}, "
    return call.end_lineno or 0, (call.end_col_offset or 0) - 1, f", code={text}"


if __name__ == "__main__":
    sys.stdout.write(f"{assign()} codes assigned; run `ruff format` and `make docs`\n")
