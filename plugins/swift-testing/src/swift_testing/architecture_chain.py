"""A small model of an architecture through all that a training does to it: loaded, adapted, trained, saved, merged, loaded again."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from swift_train import build
from swift_train.adapters import inner_model
from swift_train.encoder_decoder import is_encoder_decoder, shifted
from swift_train.heads import takes_use_cache
from torch import Tensor
from torch.nn.functional import cross_entropy

from swift_core.checkpoints import family_of
from swift_core.plugins import registry
from swift_testing.architectures import KINDS, small_model, write_with_tokenizer

STAGES = ("build", "load", "loss", "adapt", "train", "restore", "merge", "reload", "passed")
ROWS = [torch.tensor([[(a * at * at + b * at + c) % 250 + 4 for at in range(n)]]) for a, b, c, n in ((7, 11, 5, 24), (5, 3, 17, 15))]
LONG = {"deepseek_v4": 512, "reformer": 512}  # tokens of a row that reaches all layers, or of the only rows that a model trains on
_SAME, _MERGED, _LOSS, _TOGETHER = 1e-5, 2e-4, 1e-5, 2e-5  # tolerances, relative to the largest value


Look = Callable[[Any, Path], Mapping[str, Any]]  # (loaded model, checkpoint) -> facts


class ChainError(Exception):
    """The result of a stage is wrong; the message says how."""


@dataclass(slots=True)
class Outcome:
    """Findings on a model type.

    Attributes:
        kind, model_type: of the class.
        stage: the last stage that was begun; `passed` if all were completed.
        error: why it ended there; empty if it passed.
        facts: class, lora (last names of the adapted layers), rows (whether two rows share a pass), and more from `look`.
    """

    kind: str
    model_type: str
    stage: str = STAGES[0]
    error: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


def go_through(kind: str, model_type: str, look: Look | None = None) -> Outcome:
    """Take a model type through the stages; errors are in the outcome.

    Args:
        kind: one of `KINDS`.
        model_type: transformers' model type.
        look: returns further facts of the loaded model and its checkpoint.
    """
    outcome = Outcome(kind, model_type)
    with tempfile.TemporaryDirectory() as folder:
        try:
            _chain(outcome, Path(folder), look)
        except Exception as error:  # a model's own code may raise anything
            text = (str(error).strip().splitlines() or [""])[0]
            outcome.error = text if isinstance(error, ChainError) else f"{type(error).__name__}: {text}"
    return outcome


def _chain(outcome: Outcome, folder: Path, look: Look | None) -> None:
    kind, model_type = outcome.kind, outcome.model_type
    model = small_model(model_type, kind).eval()
    outcome.facts["class"] = type(model).__name__
    write_with_tokenizer(folder / "base", model)
    expected = outputs(model)
    del model
    outcome.stage = "load"
    source = build.source_of(folder / "base")
    model = _loaded(folder / "base")
    if type(model).__name__ != outcome.facts["class"]:
        raise ChainError(f"it is loaded as {type(model).__name__}")
    _close(outputs(model), expected, _SAME, "the loaded model's outputs")
    outcome.facts |= look(model, folder / "base") if look else {}
    outcome.stage = "loss"
    _check_loss(model, kind)
    if KINDS[kind].head or is_encoder_decoder(model):
        outcome.facts["rows"] = _rows_together(model)
    outcome.stage = "adapt"
    tuner = registry().choose("tuner", "lora", {"dropout": 0.0}).build()
    model = tuner.attach(model, family_of(source))
    learning = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    outcome.facts["lora"] = sorted({name.split(".lora_A")[0].rpartition(".")[2] for name in learning if ".lora_A" in name})
    for name, parameter in learning.items():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    outcome.stage = "train"
    _step(model, learning, LONG.get(model_type, 0))
    outcome.stage = "restore"
    adapted = outputs(model.eval())
    if max(float((one - other).abs().max()) for one, other in zip(adapted, expected, strict=True)) == 0:
        raise ChainError("the adapter changes nothing")
    tuner.save(model, folder / "adapter")
    restored = tuner.restore(_loaded(folder / "base"), folder / "adapter")
    _close(outputs(restored), adapted, _SAME, "the restored adapter's outputs")
    outcome.stage = "merge"
    merged = tuner.merge(restored)
    _close(outputs(merged), adapted, _MERGED, "the merged model's outputs")
    outcome.stage = "reload"
    merged.save_pretrained(folder / "merged")
    for file in (folder / "base").glob("tokenizer*"):
        (folder / "merged" / file.name).write_bytes(file.read_bytes())
    _close(outputs(_loaded(folder / "merged")), adapted, _MERGED, "the outputs of the merged model loaded again")
    outcome.stage = "passed"


def _loaded(folder: Path) -> Any:
    return build.load_checkpoint(folder, device="cpu", dtype="float32").model


def outputs(model: Any) -> list[Tensor]:
    """Return the logits or scores of the rows, each by itself, as transformers' own forward pass computes them."""
    with torch.no_grad():
        return [_own(model.eval(), row).logits.float() for row in _rows(model)]


def _rows(model: Any) -> list[Tensor]:
    """Return the rows, (1, tokens) each; with an end token for classifiers of encoder-decoders, which read its state."""
    inner = inner_model(model)
    if not (inner.config.is_encoder_decoder and type(inner).__name__.endswith("ForSequenceClassification")):
        return ROWS
    return [torch.cat([row, torch.full((1, 1), inner.config.eos_token_id)], 1) for row in ROWS]


def _own(model: Any, row: Tensor, **more: Any) -> Any:
    """Call the class's own forward pass."""
    inner = inner_model(model)
    given: dict[str, Any] = {"input_ids": row, **more}
    if takes_use_cache(inner):
        given["use_cache"] = False
    if is_encoder_decoder(inner) and "labels" not in more:
        given["decoder_input_ids"] = row
    torch.manual_seed(0)
    return type(inner).forward(inner, **given)


def _close(found: list[Tensor], expected: list[Tensor], most: float, what: str) -> None:
    largest = max(float(each.abs().max()) for each in expected) or 1.0
    difference = max(float((one - other).abs().max()) for one, other in zip(found, expected, strict=True)) / largest
    if not difference <= most:
        raise ChainError(f"{what} differ by {difference:.1g} of the largest")


def _check_loss(model: Any, kind: str) -> None:
    """Check that the training's forward pass gives the loss that transformers computes of its labels."""
    row = _rows(model)[0]
    count = row.shape[1]
    with torch.no_grad():
        torch.manual_seed(0)
        if kind == "sequence":
            labels = torch.tensor([1])
            logits = model(input_ids=row, use_cache=False, logits_to_keep=torch.tensor([count - 1])).logits[0]
            own, expected = cross_entropy(logits.float(), labels), _own(model, row, labels=labels).loss
        elif kind == "token":
            labels = torch.arange(count)[None] % 3
            logits = model(input_ids=row, use_cache=False, logits_to_keep=torch.arange(count)).logits[0]
            own, expected = cross_entropy(logits.float(), labels[0]), _own(model, row, labels=labels).loss
        elif is_encoder_decoder(model):
            first = 15
            types = (torch.arange(count) >= first).long()[None]
            logits = model(input_ids=row, use_cache=False, token_type_ids=types, logits_to_keep=torch.arange(first - 1, count - 1)).logits[
                0
            ]
            own = cross_entropy(logits.float(), row[0, first:])
            given = {"labels": row[:, first:], "decoder_input_ids": shifted(inner_model(model), row[:, first:])}
            expected = _own(model, row[:, :first], **given).loss
        else:
            return  # the row probe of a run compares next tokens
    if not abs(float(own) - float(expected)) <= _LOSS * max(1.0, abs(float(expected))):
        raise ChainError(f"the loss is {float(own):.6f}, and transformers' {float(expected):.6f}")


def _rows_together(model: Any) -> bool:
    """Return whether rows in one pass have the outputs that they have alone."""
    rows = _rows(model)
    with torch.no_grad():
        torch.manual_seed(0)
        alone = [model(input_ids=row, use_cache=False, logits_to_keep=torch.arange(row.shape[1])).logits[0] for row in rows]
        ids, places = torch.cat(rows, 1), torch.cat([torch.arange(row.shape[1]) for row in rows])[None]
        torch.manual_seed(0)
        found = model(input_ids=ids, position_ids=places, use_cache=False, logits_to_keep=torch.arange(ids.shape[1])).logits[0]
    expected = torch.cat(alone)
    return float((found - expected).abs().max()) <= _TOGETHER * max(1.0, float(expected.abs().max()))


def _step(model: Any, learning: Mapping[str, Any], tokens: int) -> None:
    """Take a step of the optimizer; every adapter gets a gradient, but for those of experts that no token was routed to."""
    optimizer = torch.optim.AdamW(learning.values(), lr=1e-3)
    row = _rows(model)[0]
    row = row.repeat(1, -(-tokens // row.shape[1]))[:, :tokens] if tokens else row
    loss = _own(model.train(), row).logits.float().logsumexp(-1).mean()
    if not torch.isfinite(loss):
        raise ChainError("the loss is not finite")
    loss.backward()
    without = [name for name, parameter in learning.items() if parameter.grad is None and ".experts." not in name]
    if without:
        raise ChainError(f"{len(without)} parameters get no gradient, such as {without[0]}")
    optimizer.step()
