"""Compare a quantized, merged or exported checkpoint with its source on held-out text: perplexity, KL divergence, top-1 agreement.

Both are loaded as they will be served: in this process, or in the engine's own environment if only that can load the result. The source's
logits are kept on disk, so that only one of the two models is in memory.
"""

from __future__ import annotations

import math
import pydoc_data.topics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from swift_core.checkpoints import Checkpoint
from swift_core.contract import SwiftError
from swift_core.system import size_of
from swift_train import gptq_awq_unpack
from swift_train.build import load_checkpoint
from swift_train.template_date import today
from swift_train.template_facts import golden

if TYPE_CHECKING:
    from torch import Tensor

    from swift_train.roles import Loaded

Predict = Callable[[Sequence[Sequence[int]], Path], float]
"""Writes the result's logits for rows into a folder, as `save_logits` does, and returns the seconds to load the result."""

MAX_KL: Mapping[int, float] = {8: 0.1, 4: 1.0}
"""Maximum KL divergence in nats per token, by bits per weight; beyond it a result is considered broken."""

_WINDOW = 256  # tokens of a chunk of the text


def held_out_text(tokenizer: Any, tokens: int) -> list[list[int]]:
    """Return chunks of Python's own documentation (held-out text available on every machine) as token ids, at least `tokens` in total."""
    pieces: list[list[int]] = []
    there = 0
    for topic in sorted(pydoc_data.topics.topics):
        ids = tokenizer(pydoc_data.topics.topics[topic], verbose=False)["input_ids"]
        for at in range(0, len(ids) - 1, _WINDOW):
            pieces.append(ids[at : at + _WINDOW])
            there += len(pieces[-1])
            if there >= tokens:
                return pieces
    return pieces


def compare(
    source: Path,
    result: Path,
    rows: Sequence[Sequence[int]],
    *,
    device: str,
    dtype: str,
    scratch: Path,
    predict: Predict | None = None,
    **loading: Any,
) -> dict[str, float]:
    """Load source and result one after the other, and compare their logits.

    Args:
        source: the checkpoint that `result` was made from.
        result: a checkpoint that an installed loader reads, unless `predict` is given.
        rows: token ids of each row.
        device: device of both models.
        dtype: dtype of both models, as far as the result is not quantized.
        scratch: folder for the source's logits: tokens × vocabulary × 4 bytes, twice that with `predict`.
        predict: computes the result's logits in another environment, if this one can't load it.
        loading: further arguments of `swift_train.build.load_checkpoint`.

    Returns:
        `perplexity`, `kl` (of the result from the source, nats per token), `top1` (fraction of equal most likely tokens),
        `max_logit_difference`, `bytes`, `load_seconds`; those of the source end in `_before`; `tokens`: number of tokens compared.

    Raises:
        SwiftError: the result's tokenizer gives other token ids for the golden conversations than the source's.
    """
    with tempfile.TemporaryDirectory(dir=scratch, prefix="logits-") as folder:
        before, seconds_before = _load(source, device=device, dtype=dtype, **loading)
        day = today()
        tokens_before = golden(before.processor, day)
        saved = save_logits(before.model, rows, _made(folder, "before"))
        del before
        readable = result if predict else _readable(result, Path(folder, "plain"))
        after, seconds = _load(readable, device="meta" if predict else device, dtype=dtype, **loading)
        if golden(after.processor, day) != tokens_before:
            raise SwiftError("the result's tokenizer gives other token ids than its source's", code="TRAIN-089", where=str(result))
        if predict:
            there = _made(folder, "after")
            seconds = predict(rows, there)
            figures = compare_logits(_pairs(saved, (torch.load(file) for file in _files(there, len(rows))), rows))
        else:
            figures = compare_with_saved(saved, after.model, rows)
    return {
        **figures,
        "bytes": size_of(result),
        "bytes_before": size_of(source),
        "load_seconds": seconds,
        "load_seconds_before": seconds_before,
    }


def save_logits(model: Any, rows: Sequence[Sequence[int]], folder: Path) -> list[Path]:
    """Write a model's logits for each row into a folder, one file per row; return the files."""
    files = _files(folder, len(rows))
    for file, row in zip(files, rows, strict=True):
        torch.save(_logits(model, row), file)
    return files


def compare_with_saved(saved: Sequence[Path], model: Any, rows: Sequence[Sequence[int]]) -> dict[str, float]:
    """Compare a model's logits for each row with those that `save_logits` wrote; return the figures of `compare_logits`."""
    return compare_logits(_pairs(saved, (_logits(model, row) for row in rows), rows))


def compare_logits(pairs: Iterable[tuple[Tensor, Tensor, Tensor]]) -> dict[str, float]:
    """Compute the figures of `compare` that come from logits.

    Args:
        pairs: per row, the logits of source and result without those of the last token, (tokens - 1, vocabulary), and the token ids.
    """
    sums = _sums(pairs)
    count = sums.pop("tokens")
    return {
        "perplexity": math.exp(min(sums["loss"] / count, 700.0)),
        "perplexity_before": math.exp(min(sums["loss_before"] / count, 700.0)),
        "kl": sums["kl"] / count,
        "top1": sums["top1"] / count,
        "max_logit_difference": sums["difference"],
        "tokens": count,
    }


def _made(folder: str, name: str) -> Path:
    made = Path(folder, name)
    made.mkdir()
    return made


def _files(folder: Path, count: int) -> list[Path]:
    return [folder / f"{number}.pt" for number in range(count)]


def _readable(checkpoint: Path, folder: Path) -> Path:
    """Return the checkpoint, or an unpacked copy in `folder` if its format (GPTQ, AWQ) needs a library in transformers."""
    packs = Checkpoint.at(checkpoint).quantization in gptq_awq_unpack.METHODS
    return gptq_awq_unpack.unpack(checkpoint, folder) if packs else checkpoint


def _load(folder: Path, **loading: Any) -> tuple[Loaded, float]:
    began = time.perf_counter()
    return load_checkpoint(folder, **loading), time.perf_counter() - began


def _pairs(saved: Sequence[Path], found: Iterable[Tensor], rows: Sequence[Sequence[int]]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    for file, logits, row in zip(saved, found, rows, strict=True):
        yield torch.load(file), logits, torch.tensor(list(row), dtype=torch.long)


@torch.inference_mode()
def _logits(model: Any, row: Sequence[int]) -> Tensor:
    return model(input_ids=torch.tensor([list(row)], device=model.device), use_cache=False).logits[0, :-1].float().cpu()  # type: ignore[no-any-return]


def _sums(pairs: Iterable[tuple[Tensor, Tensor, Tensor]]) -> dict[str, float]:
    """Sum losses, divergence and agreement over all tokens except each row's first; also return the maximum difference."""
    sums = dict.fromkeys(("loss", "loss_before", "kl", "top1", "difference", "tokens"), 0.0)
    for before, after, row in pairs:
        one, other = before.log_softmax(-1), after.log_softmax(-1)
        sums["loss_before"] += float(functional.nll_loss(one, row[1:], reduction="sum"))
        sums["loss"] += float(functional.nll_loss(other, row[1:], reduction="sum"))
        sums["kl"] += float(functional.kl_div(other, one, log_target=True, reduction="sum"))
        sums["top1"] += int((before.argmax(-1) == after.argmax(-1)).sum())
        sums["difference"] = max(sums["difference"], float((before - after).abs().max()))
        sums["tokens"] += len(row) - 1
    return sums
