"""The page of the training tasks: rows, losses, heads and strategies from the specs, and what each was compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swift_core.contract import TaskSpec
from swift_core.options import fields
from swift_core.plugins import registry

_SCOPES = {
    "token": "all; with context parallelism each process computes the loss of its tokens",
    "sample": "all; with context parallelism the outputs of whole answers are gathered on each process",
    "step": "all; with context parallelism the outputs of whole rows are gathered on each process",
}
_HEADS = {"": "next token", "hidden": "none: the hidden states"}
_COMPARED: Mapping[str, str] = {  # task → with what its tests compare it
    "sft": "transformers' loss and plain torch, step by step; other losses with their equations in plain torch",
    "pretrain": "as sft",
    "dpo": "every loss and its gradient with TRL 1.16's `DPOTrainer._compute_loss`, several at once with weights; ten steps of training "
    "(lane `rl`); sigmoid with plain torch",
    "online-dpo": "loss and gradient of two steps with TRL 1.16's `DPOTrainer._compute_loss` on the sampled pairs; one and two processes; "
    "killed runs (lane `kill`)",
    "orpo": "one and two processes",
    "cpo": "one and two processes",
    "simpo": "as cpo, whose loss it is",
    "kto": "plain torch: its divergence over the step and all processes",
    "rm": "plain torch; the scores of PEFT and of the merged model",
    "embedding": "every loss and Matryoshka with sentence-transformers 6.2 at each of ten steps (lane `references`)",
    "reranker": "pointwise (BERT) and ListNet (Llama) with sentence-transformers 6.2's CrossEncoder losses at each of ten steps (lane "
    "`references`); all with plain torch",
    "generative-reranker": "plain torch; the scores of sentence-transformers 6.2's CrossEncoder on the saved model (lane `references`)",
    "token-cls": "transformers' token classifiers (BERT, Llama) at each of three steps; two processes with one",
    "grpo": "every loss and its gradient with TRL 1.16's `GRPOTrainer._compute_loss` on the rollouts of a run, and with plain torch; the "
    "reward on sums rises with SmolLM2 (lane `rl`)",
    "rloo": "its advantages with their equation; the losses are those of grpo",
    "ppo": "losses, gradient, advantages and returns in plain torch with a value head on a copy of the model, over two generations of two "
    "passes; one and two processes (DDP, FSDP); the reward of a tiny model rises (lane `rl`)",
    "gkd": "the divergence with TRL 1.16's `GKDTrainer.generalized_jsd_loss`; a step with the models' own logits; it falls (lane `rl`)",
}


def page(note: str) -> str:
    """Return the page."""
    parts = [
        "# Training tasks\n\n",
        note,
        "Each is a verb (`swift dpo …`) and a value of `--task` (`swift train --task dpo`, `swift rlhf --rlhf_type dpo`). Their options ",
        "are in [cli.md](cli.md), forms of rows in [own-data.md](../how-to/own-data.md), differences between strategies in ",
        "[parallel.md](parallel.md).\n\n",
        "| task | what it does | rows | losses | output layer | parallel strategies | compared with |\n|---|---|---|---|---|---|---|\n",
    ]
    for spec in sorted(registry().all(TaskSpec), key=lambda each: each.name):
        names = " ".join(f"`{name}`" for name in (spec.name, *spec.also))
        head = _HEADS.get(spec.head) or f"scores{' of each token' * spec.head.startswith('token')}: {spec.head.partition(':')[2]}"
        cells = [
            names, spec.summary, ", ".join(spec.rows), _losses(spec), head, _SCOPES[spec.loss_scope],
            _COMPARED.get(spec.name, "see its plugin's tests"),
        ]  # fmt: skip
        parts.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |\n")
    return "".join(parts)


def _losses(spec: TaskSpec) -> str:
    if spec.options is None:
        return ""
    whole = fields.schema(spec.options)
    found: dict[str, Any] = whole.get("properties", {}).get("loss_type", {})
    names = [name for kind in (found, found.get("items", {}), *found.get("anyOf", ())) for name in kind.get("enum", ())]
    return ", ".join(names) or "its own"
