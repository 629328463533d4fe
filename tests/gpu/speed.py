"""Figures of a device: tokens a second and peak memory, against TRL where it is installed."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from tests.gpu.setting import Setting

LLAMA_8B = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 32768,
    "initializer_range": 0.02,
    "tie_word_embeddings": False,
}
LORA = {"rank": 16, "alpha": 32, "dropout": 0.0}
STEPS = 6  # the first is not counted


def train(setting: Setting) -> dict[str, Any]:
    """Measure LoRA in bfloat16 on a model with the shapes of Llama-8B and random weights, rows of up to 2,048 tokens, and TRL beside it."""
    return _against_trl(setting, words=60 if setting.small else 2200, length=128 if setting.small else 2048)


def train_long(setting: Setting) -> dict[str, Any]:
    """Measure the same with rows of up to 16,384 tokens."""
    return _against_trl(setting, words=120 if setting.small else 17600, length=256 if setting.small else 16384)


def _against_trl(setting: Setting, *, words: int, length: int) -> dict[str, Any]:
    model, rows = _large(setting), setting.rows(4 * STEPS, words)
    found = {"ours": _measured(setting, lambda: _ours(setting, model, rows, length))}
    if find_spec("trl"):
        found["trl"] = _measured(setting, lambda: _trl(setting, model, rows, length))
        found["ratio"] = {"tokens_per_second": round(found["ours"]["tokens_per_second"] / found["trl"]["tokens_per_second"], 3)}
    return found


def _large(setting: Setting) -> Path:
    """Return the model of the measurement: written once, in bfloat16, on the device that makes its weights."""
    if setting.small:
        return setting.model()
    from swift_testing.rig import tiny_tokenizer
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    folder = setting.folder / "llama-8b"
    if folder.exists():
        return folder
    tokenizer = tiny_tokenizer()
    tokens = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(setting.device):
            model = LlamaForCausalLM(LlamaConfig(**LLAMA_8B, **tokens))
    finally:
        torch.set_default_dtype(before)
    model.generation_config = GenerationConfig(**tokens)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _measured(setting: Setting, work: Callable[[], tuple[int, list[float]]]) -> dict[str, float]:
    """Return tokens a second after the first step, and the peak memory; `work` returns the tokens, and the seconds of each step."""
    gc.collect()
    if setting.accelerator:
        torch.accelerator.empty_cache()
    setting.reset_peak()
    tokens, seconds = work()
    return {"tokens_per_second": round(tokens / sum(seconds), 1), "peak_gib": round(setting.peak(), 2)}


def _ours(setting: Setting, model: Path, rows: Path, length: int) -> tuple[int, list[float]]:
    started = time.time()
    metrics = setting.train(
        f"speed-{started}",
        model=model,
        rows=rows,
        dtype="bfloat16",
        tuner_options=LORA,
        max_length=length,
        max_steps=STEPS,
        gradient_checkpointing=True,
        schedule="constant",
        learning_rate=1e-4,
        shuffle=False,
    )
    times = [float(step["seconds"]) for step in metrics]
    return sum(int(step["tokens"]) for step in metrics[1:]), [after - before for before, after in pairwise(times)]


def _trl(setting: Setting, model: Path, rows: Path, length: int) -> tuple[int, list[float]]:
    """TRL with rows after one another in its padding-free collator where flash-attention is installed, else padded."""
    from datasets import load_dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    seconds: list[float] = []
    flash = find_spec("flash_attn") is not None

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if setting.accelerator:
                torch.accelerator.synchronize()
            seconds.append(time.perf_counter())

    arguments = SFTConfig(
        output_dir=str(setting.folder / "trl"), use_cpu=not setting.accelerator, bf16=setting.accelerator, gradient_checkpointing=True,
        per_device_train_batch_size=4, max_steps=STEPS, learning_rate=1e-4, lr_scheduler_type="constant", max_length=length,
        padding_free=flash, save_strategy="no", report_to="none", disable_tqdm=True, train_sampling_strategy="sequential",
    )  # fmt: skip
    loaded = AutoModelForCausalLM.from_pretrained(
        model, dtype=torch.bfloat16, attn_implementation="flash_attention_2" if flash else "sdpa", device_map={"": setting.device}
    )
    trainer = SFTTrainer(
        model=loaded, args=arguments, processing_class=AutoTokenizer.from_pretrained(model), callbacks=[Clock()],
        train_dataset=load_dataset("json", data_files=str(rows), split="train"),
        peft_config=LoraConfig(r=LORA["rank"], lora_alpha=LORA["alpha"], target_modules="all-linear", task_type="CAUSAL_LM"),
    )  # fmt: skip
    trainer.train()
    rows_per_step = [len(ids) for ids in trainer.train_dataset["input_ids"]]
    return sum(rows_per_step[4 : 4 * STEPS]), [after - before for before, after in pairwise(seconds)]


def serve(setting: Setting) -> dict[str, Any]:
    """Measure the embedded server: tokens a second of one stream and of sixteen, and a greedy answer that is the same for both."""
    from concurrent.futures import ThreadPoolExecutor

    from swift_serve import chat

    from swift_core import serve as start

    tokens = 16 if setting.small else 128
    found: dict[str, Any] = {}
    with start(model=str(_large(setting)), device=setting.device) as server:

        def answer(number: int) -> str:
            question = [{"role": "user", "content": f"{number} what is the capital?"}]
            return chat(server, question, max_tokens=tokens, temperature=0, ignore_eos=True)

        alone = answer(0)
        for streams in (1, 16):
            began = time.perf_counter()
            with ThreadPoolExecutor(streams) as pool:
                answers = list(pool.map(answer, range(streams)))
            found[f"tokens_per_second_{streams}"] = round(streams * tokens / (time.perf_counter() - began), 1)
            assert answers[0] == alone or setting.accelerator, "the answer of a stream depends on the others"
    return found
