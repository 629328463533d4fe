"""torch.onnx: the graph of a classifier, an embedder, or a decoder that onnxruntime-genai's builder does not know.

A graph is what the model did with one batch. What the model decides in Python, by the length of a row say, is settled then, and the graph
would be wrong for other rows; so `compared` asks it for rows of several lengths, and only a graph that answers as the model does is kept.
"""

from __future__ import annotations

import inspect
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import onnx
import torch
import transformers

from swift_core.contract.errors import SwiftError, UsageError
from swift_plugin_onnx.architectures import ExportMethod
from swift_plugin_onnx.graph_check import compare, probes, reference
from swift_plugin_onnx.pooling import Pooling, pooling_of

_CLASSES: Mapping[ExportMethod, str] = {
    "sequence classifier": "AutoModelForSequenceClassification",
    "token classifier": "AutoModelForTokenClassification",
    "embedder": "AutoModel",
    "decoder": "AutoModelForCausalLM",
}
_OPSET = 18
_BESIDE = (
    "config.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "token*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab*",
    "merges.txt",
    "*.model",
    "*.jinja",
)


def export_graph(checkpoint: Path, folder: Path, method: ExportMethod, type_: str, threads: int) -> dict[str, Any]:
    """Write `model.onnx`, its weights in `model.onnx.data`, and the tokenizer into `folder`.

    Args:
        checkpoint: what is exported.
        folder: an empty one.
        method: what it is.
        type_: fp32 or fp16.
        threads: of torch; 0: as many as it takes.

    Returns:
        Figures of `compare`, and what was made in which method.

    Raises:
        UsageError: the checkpoint lacks weights, its pooling is not known, or transformers can't load it or ask it for a batch.
        SwiftError: torch can't export it, or the graph answers otherwise than the model.
    """
    if threads:
        torch.set_num_threads(threads)
    pooling = pooling_of(checkpoint) if method == "embedder" else None
    model = _loaded(checkpoint, method)
    graph = _Graph(model, _inputs(model, checkpoint), "last_hidden_state" if method == "embedder" else "logits", pooling)
    rows_alone = method == "sequence classifier" or pooling is not None
    batches = probes(graph.names, model.config.get_text_config())
    try:
        wanted = [reference(graph, batch) for batch in batches]
    except (ValueError, RuntimeError) as error:
        hint = "A classifier that was made of a decoder needs a pad_token_id in config.json."
        raise UsageError(f"the model itself fails on a batch: {error}", where=str(checkpoint), hint=hint) from error
    _trace(graph if type_ == "fp32" else graph.half(), batches[-1], rows_alone, folder / "model.onnx")
    for file in sorted(checkpoint.iterdir()):
        if file.is_file() and any(fnmatchcase(file.name, pattern) for pattern in _BESIDE):
            shutil.copyfile(file, folder / file.name)
    figures = compare(folder / "model.onnx", batches, wanted, type_, rows_alone=rows_alone)
    said = {"pooling": pooling.mode, "normalized": pooling.normalized} if pooling else {}
    return {"exported_by": "torch.onnx", "exported_as": method, **said, **figures}


class _Graph(torch.nn.Module):
    """The model with positional tensors in and one tensor out, as a graph has it."""

    def __init__(self, model: Any, names: tuple[str, ...], taken: str, pooling: Pooling | None) -> None:
        super().__init__()
        self.model, self.names, self.pooling, self._taken = model, names, pooling, taken
        self.output = "sentence_embedding" if pooling else taken

    def forward(self, *tensors: torch.Tensor) -> Any:
        given = dict(zip(self.names, tensors, strict=True))
        found = self.model(**given)[self._taken]
        return self.pooling(found, given.get("attention_mask", torch.ones_like(given["input_ids"]))) if self.pooling else found


def _loaded(checkpoint: Path, method: ExportMethod) -> Any:
    kind: Any = getattr(transformers, _CLASSES[method])
    arguments = {"dtype": torch.float32, "attn_implementation": "eager", "use_safetensors": True, "local_files_only": True}
    try:
        model, said = kind.from_pretrained(checkpoint, output_loading_info=True, **arguments)
    except (ValueError, KeyError) as error:
        hint = "Models that bring code of their own are not exported."
        raise UsageError(f"transformers does not load it: {error}", where=str(checkpoint), hint=hint) from error
    # a pooler is no part of what an embedder gives here, and many checkpoints have none
    missing = sorted(name for name in said["missing_keys"] if method != "embedder" or not name.startswith("pooler."))
    if missing:
        raise UsageError(f"the checkpoint lacks weights: {', '.join(missing[:3])}", where=str(checkpoint), hint="Is it whole?")
    model.config.use_cache = False
    return model.eval()


def _inputs(model: Any, checkpoint: Path) -> tuple[str, ...]:
    """What goes in: segments only where the model tells some apart."""
    taken = inspect.signature(model.forward).parameters
    if "input_ids" not in taken:
        raise UsageError("it is no model of text: it takes no input_ids", where=str(checkpoint), hint="Models of text are exported.")
    names = ["input_ids", "attention_mask"]
    if (getattr(model.config, "type_vocab_size", None) or 0) > 1:
        names.append("token_type_ids")
    return tuple(name for name in names if name in taken)


def _trace(graph: _Graph, batch: Mapping[str, torch.Tensor], rows_alone: bool, file: Path) -> None:
    axes = {name: {0: "batch", 1: "length"} for name in (*graph.names, graph.output)}
    if rows_alone:
        del axes[graph.output][1]
    with tempfile.TemporaryDirectory(prefix="tracing-", dir=file.parent) as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what depends on the batch: comparing finds out whether it matters
        whole = Path(name) / file.name  # past 2 GB, torch writes a file a tensor beside it
        try:
            torch.onnx.export(
                graph,
                tuple(batch[name] for name in graph.names),
                str(whole),
                input_names=list(graph.names),
                output_names=[graph.output],
                dynamic_axes=axes,
                opset_version=_OPSET,
                dynamo=False,  # the other exporter needs onnxscript, and took ten times as long for the same
            )
        except Exception as error:  # whatever the model's own code runs into
            last = str(error).strip().splitlines()[:1] or [type(error).__name__]
            raise SwiftError(f"torch.onnx can't export it: {last[0]}", hint="Some architectures have no graph in ONNX.") from error
        onnx.save_model(onnx.load(str(whole)), str(file), save_as_external_data=True, location=f"{file.name}.data")
