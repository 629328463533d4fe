"""The time and memory of a traced plan of models too large for this machine: `python benchmarks/plan.py`.

Checkpoints without weights (headers and holes) stand for them; only shapes count.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SHAPES = {
    "Llama 3 8B": ("LlamaConfig", {
        "vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8,
    }),
    "Qwen3 235B-A22B": ("Qwen3MoeConfig", {
        "vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 12288, "moe_intermediate_size": 1536, "num_hidden_layers": 94,
        "num_attention_heads": 64, "num_key_value_heads": 4, "head_dim": 128, "num_experts": 128, "num_experts_per_tok": 8,
        "norm_topk_prob": True, "decoder_sparse_step": 1,
    }),
}  # fmt: skip


def write_skeleton(name: str, folder: Path) -> Path:
    """Write configuration, tokenizer, and weight files of the right size that take no space."""
    import torch
    import transformers
    from swift_testing.rig import tiny_tokenizer

    kind, values = SHAPES[name]
    config = getattr(transformers, kind)(**values)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    config.architectures, config.dtype = [type(model).__name__], "bfloat16"
    config.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    header, at = {}, 0
    for key, weight in model.state_dict().items():
        size = weight.numel() * weight.element_size()
        header[key] = {"dtype": "BF16", "shape": list(weight.shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + at)
    return folder


def plan_one(folder: Path) -> None:
    """Trace LoRA with and without activation checkpointing on one row of 2,048 tokens, and print the result as JSON."""
    from swift_plan.devices import cards
    from swift_plan.planning import plan_of

    from swift_core.contract import Run, Source
    from swift_core.plugins import registry

    known = registry()
    defaults = {"optimizer": "adamw", "parallel": "ddp", "loader": "transformers"}
    parts = {kind: known.default(kind, name) for kind, name in defaults.items()}
    parts["tuner"] = known.choose("tuner", "lora", {"rank": 16})
    source = Source(reference=str(folder), path=str(folder), hash="", format="safetensors", family="")
    options = {"device": "cpu", "dtype": "bfloat16", "attention": "auto", "trust_remote_code": False, "runs": str(folder)}
    card = next(card for card in cards() if card.name == "h100")
    result = {}
    for recompute in (False, True):
        task = known.choose("task", "sft", {"max_length": 2048, "batch_size": 1, "gradient_checkpointing": recompute})
        run = Run(verb="sft", job="", model=source, options=options, parts={**parts, "task": task})
        began = time.perf_counter()
        plan = plan_of(run, card, traced=True)
        seconds = round(time.perf_counter() - began, 1)
        name = "checkpointing" if recompute else "plain"
        result[name] = {"seconds": seconds, "GiB": round(plan.highest.total / 2**30, 2), "method": plan.method}
    result["parent_MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    result["tracer_MiB"] = _children_peak()
    print(json.dumps(result))


def _children_peak() -> int:
    from swift_plan.client import Tracer

    Tracer.shared().close()
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024


def main() -> None:
    """Plan each in a fresh process."""
    if len(sys.argv) > 1:
        plan_one(Path(sys.argv[1]))
        return
    for name in SHAPES:
        with tempfile.TemporaryDirectory() as place:
            folder = write_skeleton(name, Path(place))
            began = time.perf_counter()
            done = subprocess.run([sys.executable, __file__, str(folder)], capture_output=True, text=True, check=True, env=dict(os.environ))
            print(f"{name:18} {time.perf_counter() - began:6.1f} s in all  {done.stdout.strip()}")


if __name__ == "__main__":
    main()
