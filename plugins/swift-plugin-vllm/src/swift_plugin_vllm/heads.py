"""vLLM's arguments for models with a head (its pooling runner): vectors, classes, scores of pairs.

vLLM finds the kind of head and sentence-transformers' pooling itself. A reranker on the logits of two tokens is turned into a classifier by
vLLM when it is loaded; its chat template, which has the roles query and document, is applied to pairs only if it is passed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from swift_formats.cross_encoder import logit_score_of
from swift_formats.head_facts import head_facts
from swift_serve.head_tasks import answer_kind

TEMPLATE = "chat_template.jinja"


def head_arguments(checkpoint: Path) -> list[str]:
    """Return the arguments for a checkpoint's head; none for a language model."""
    if answer_kind(checkpoint) == "text":
        return []
    argv = ["--runner", "pooling"]
    facts = head_facts(checkpoint)
    if (tokens := logit_score_of(checkpoint)) and len(facts.labels) == 1 + (tokens.false_token_id is not None):
        architecture = str(json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))["architectures"][0])
        overrides: dict[str, Any] = {
            "architectures": [architecture.replace("ForCausalLM", "ForSequenceClassification")],
            "classifier_from_token": list(facts.labels),
            "method": "no_post_processing" if tokens.false_token_id is None else "from_2_way_softmax",
        }
        argv += ["--hf-overrides", json.dumps(overrides)]
    if facts.input == "pair" and (checkpoint / TEMPLATE).is_file():
        argv += ["--chat-template", str(checkpoint / TEMPLATE)]
    return argv
