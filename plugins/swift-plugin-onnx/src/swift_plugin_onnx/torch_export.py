"""Export through torch.onnx: classifiers, embedding models, and decoders that onnxruntime-genai's model builder lacks.

A traced graph records what the model did with one batch. Decisions made in Python, such as by the length of a row, are fixed in it, and it
may be wrong for other rows. So `graph_check` runs it on rows of several lengths, and only a graph that reproduces the model is kept.
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
from swift_formats.sentence_transformers import Pooling, pooling_of

from swift_core.contract import SwiftError, UsageError
from swift_plugin_onnx.architectures import ExportMethod
from swift_plugin_onnx.graph_check import compare, probes, reference
from swift_plugin_onnx.pooling import pool

_CLASSES: Mapping[ExportMethod, str] = {
    "sequence classifier": "AutoModelForSequenceClassification",
    "token classifier": "AutoModelForTokenClassification",
    "embedder": "AutoModel",
    "decoder": "AutoModelForCausalLM",
}
_OPSET = 18
_COPIED = (
    "config.json",
    "head.json",
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
        checkpoint: the checkpoint to export.
        folder: an empty folder.
        method: the export method, other than "builder".
        type_: fp32 or fp16.
        threads: number of torch's threads; 0 leaves its default.

    Returns:
        The figures of `compare`, the exporter, the export method and the pooling.

    Raises:
        UsageError: the checkpoint lacks weights, its pooling is not supported, or transformers can't load or run it.
        SwiftError: torch.onnx failed, or the graph does not reproduce the model.
    """
    if threads:
        torch.set_num_threads(threads)
    pooling = pooling_of(checkpoint) if method == "embedder" else None
    model = _load(checkpoint, method)
    graph = _Graph(model, _inputs(model, checkpoint), "last_hidden_state" if method == "embedder" else "logits", pooling)
    pooled = method == "sequence classifier" or pooling is not None
    batches = probes(graph.names, model.config.get_text_config())
    try:
        expected = [reference(graph, batch) for batch in batches]
    except (ValueError, RuntimeError) as error:
        hint = "A classifier on top of a decoder needs a pad_token_id in config.json."
        raise UsageError(f"the model failed on a batch: {error}", code="EXPORT-054", where=str(checkpoint), hint=hint) from error
    _trace(graph if type_ == "fp32" else graph.half(), batches[-1], pooled, folder / "model.onnx")
    for file in sorted(checkpoint.iterdir()):
        if file.is_file() and any(fnmatchcase(file.name, pattern) for pattern in _COPIED):
            shutil.copyfile(file, folder / file.name)
    figures = compare(folder / "model.onnx", batches, expected, type_, pooled=pooled)
    extra = {"pooling": pooling.mode, "normalized": pooling.normalized} if pooling else {}
    return {"exported_by": "torch.onnx", "exported_as": method, **extra, **figures}


class _Graph(torch.nn.Module):
    """The model as a module with positional tensor inputs and one tensor output."""

    def __init__(self, model: Any, names: tuple[str, ...], key: str, pooling: Pooling | None) -> None:
        super().__init__()
        self.model, self.names, self.pooling, self._key = model, names, pooling, key
        self.output = "sentence_embedding" if pooling else key

    def forward(self, *tensors: torch.Tensor) -> Any:
        inputs = dict(zip(self.names, tensors, strict=True))
        output = self.model(**inputs)[self._key]
        return pool(self.pooling, output, inputs.get("attention_mask", torch.ones_like(inputs["input_ids"]))) if self.pooling else output


def _load(checkpoint: Path, method: ExportMethod) -> Any:
    kind: Any = getattr(transformers, _CLASSES[method])
    arguments = {"dtype": torch.float32, "attn_implementation": "eager", "use_safetensors": True, "local_files_only": True}
    try:
        model, info = kind.from_pretrained(checkpoint, output_loading_info=True, **arguments)
    except (ValueError, KeyError) as error:
        hint = "Models with custom code are not supported."
        raise UsageError(f"transformers can't load the checkpoint: {error}", code="EXPORT-055", where=str(checkpoint), hint=hint) from error
    # the output of an embedding model does not use the pooler, which many checkpoints lack
    missing = sorted(name for name in info["missing_keys"] if method != "embedder" or not name.startswith("pooler."))
    if missing:
        raise UsageError(
            f"the checkpoint lacks weights: {', '.join(missing[:3])}",
            code="EXPORT-056",
            where=str(checkpoint),
            hint="Check that it is complete.",
        )
    model.config.use_cache = False
    return model.eval()


def _inputs(model: Any, checkpoint: Path) -> tuple[str, ...]:
    """Return the names of the inputs; token_type_ids only if the model has more than one segment type."""
    parameters = inspect.signature(model.forward).parameters
    if "input_ids" not in parameters:
        raise UsageError(
            "not a text model: it takes no input_ids", code="EXPORT-057", where=str(checkpoint), hint="Only text models are supported."
        )
    names = ["input_ids", "attention_mask"]
    if (getattr(model.config, "type_vocab_size", None) or 0) > 1:
        names.append("token_type_ids")
    return tuple(name for name in names if name in parameters)


def _trace(graph: _Graph, batch: Mapping[str, torch.Tensor], pooled: bool, file: Path) -> None:
    axes = {name: {0: "batch", 1: "length"} for name in (*graph.names, graph.output)}
    if pooled:
        del axes[graph.output][1]
    with tempfile.TemporaryDirectory(prefix="tracing-", dir=file.parent) as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracer warnings about data-dependent values: the comparison shows whether they matter
        whole = Path(name) / file.name  # above 2 GB torch writes one file per tensor beside it
        try:
            torch.onnx.export(
                graph,
                tuple(batch[name] for name in graph.names),
                str(whole),
                input_names=list(graph.names),
                output_names=[graph.output],
                dynamic_axes=axes,
                opset_version=_OPSET,
                dynamo=False,  # the dynamo exporter needs onnxscript, and took ten times as long for the same graph
            )
        except Exception as error:  # the model's code may raise anything
            last = str(error).strip().splitlines()[:1] or [type(error).__name__]
            raise SwiftError(
                f"torch.onnx failed: {last[0]}", code="EXPORT-058", hint="Some architectures can't be expressed in ONNX."
            ) from error
        onnx.save_model(onnx.load(str(whole)), str(file), save_as_external_data=True, location=f"{file.name}.data")
