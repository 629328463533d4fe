"""Write docs/reference/architectures.md from the record of what each class of transformers went through.

python docs/architectures.py                              the page, from the record
python docs/architectures.py run [KIND[:TYPE,TYPE] …]     go through the chain first, each in a process of its own; all kinds by default

The record is a table that swift-plugin-families carries, so that `swift models` can say what is verified. The classes that serving engines
have are in docs/reference/engine_architectures.tsv: vLLM's from its model_executor/models/registry.py, SGLang's from the `EntryClass` of
the files of srt/models, each of the version in the table.
"""

from __future__ import annotations

import csv
import importlib.metadata
import json
import os
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RECORD = ROOT / "plugins/swift-plugin-families/src/swift_plugin_families/architectures.tsv"
ENGINES = Path(__file__).parent / "reference" / "engine_architectures.tsv"
PAGE = Path(__file__).parent / "reference" / "architectures.md"
FIELDS = ("kind", "model_type", "class", "stage", "error", "lora", "rows", "tensor", "pipeline", "experts", "gguf", "onnx")
TITLES = {
    "causal": "Causal language models", "multimodal": "Multimodal language models, on text", "seq2seq": "Encoder-decoder language models",
    "masked": "Masked language models", "sequence": "Sequence classifiers", "token": "Token classifiers",
}  # fmt: skip
_SECONDS = 120  # of one class, after which its process ends


def look(model: Any, checkpoint: Path) -> dict[str, Any]:
    """Return what a loaded model supports, besides what the chain finds."""
    from swift_plugin_gguf.layouts import layout_of
    from swift_plugin_gguf.metadata import model_keys
    from swift_plugin_gguf.plan import make_plan
    from swift_plugin_onnx.architectures import export_method

    from swift_core.checkpoints import Checkpoint
    from swift_core.contract import UsageError

    config = Checkpoint.at(checkpoint).config
    facts: dict[str, Any] = {
        "tensor": bool(model.tp_plan), "pipeline": bool(getattr(model.base_model, "_pp_plan", None)),
        "experts": any(".experts." in name and parameter.dim() == 3 for name, parameter in model.named_parameters()),
    }  # fmt: skip
    if layout_of(config):
        try:
            plan = make_plan(checkpoint)
            model_keys(plan.config, plan.layout, checkpoint)
            facts["gguf"] = plan.layout.arch
        except UsageError as error:
            facts["gguf"] = f"not: {error.message}"
    try:
        facts["onnx"] = export_method(checkpoint)
    except UsageError:
        facts["onnx"] = ""
    if type(model).__name__.endswith(("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")) and not model.config.is_encoder_decoder:
        facts["rows"] = rows_of(model)
    return facts


def rows_of(model: Any) -> str:
    """Return how rows share a forward pass: the boundaries that are passed, or `alone`."""
    import torch
    from swift_train.options import PretrainOptions
    from swift_train.row_isolation import probe_isolation
    from swift_train.tasks import PretrainTask

    from swift_core.plugins import registry

    strategy = registry().choose("parallel", "ddp", {"device": "cpu"}).build()
    strategy.build(lambda device: model, lambda module: torch.optim.SGD(module.parameters()))
    found = probe_isolation(strategy, PretrainTask(PretrainOptions()), range(3, 250), 64)
    model.eval()
    return found.boundaries.value if found.together else "alone"


def run(kinds: Iterable[str]) -> None:
    """Go through the chain, and write the record anew for these kinds or types."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    import logging
    import warnings

    import peft  # noqa: F401  (imported once, not in each process)
    import swift_plugin_peft.tuner  # noqa: F401
    import torch
    import transformers
    from swift_testing.architecture_chain import outputs
    from swift_testing.architectures import small_model, types_of

    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    rows_of(small_model("llama"))
    outputs(small_model("llama"))
    record = {(row["kind"], row["model_type"]): row for row in read(RECORD)}
    for kind, _, only in (word.partition(":") for word in kinds):
        known = types_of(kind)
        if not only:
            record = {key: row for key, row in record.items() if key[0] != kind}
        for model_type in only.split(",") if only else known:
            record[kind, model_type] = _in_a_process(kind, model_type, known[model_type])
        write(RECORD, sorted(record.values(), key=lambda row: (list(TITLES).index(row["kind"]), row["model_type"])))


def _in_a_process(kind: str, model_type: str, name: str) -> dict[str, str]:
    import signal

    from swift_testing.architecture_chain import go_through
    from swift_testing.architectures import NOT_SMALL

    row = dict.fromkeys(FIELDS, "") | {"kind": kind, "model_type": model_type, "class": name, "stage": "build"}
    if reason := NOT_SMALL.get(model_type) if kind in ("causal", "multimodal") else None:
        return row | {"error": reason}
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(_SECONDS)
        outcome = go_through(kind, model_type, look)
        facts = {field: _word(value) for field, value in outcome.facts.items()}
        os.write(write_end, json.dumps({**facts, "stage": outcome.stage, "error": _plain(outcome.error)}).encode())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as stream:
        data = stream.read()
    _, status = os.waitpid(child, 0)
    return row | (json.loads(data) if data else {"error": f"its process ended with status {status}"})


def _plain(error: str) -> str:
    """Return an error without the paths of its run."""
    return re.sub(r"\S+/(base|merged): ", "", error)[:160].replace("\t", " ")


def _word(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(value)
    return {True: "yes", False: ""}[value] if isinstance(value, bool) else str(value)


def read(path: Path) -> list[dict[str, str]]:
    """Read a table; none if there is no file."""
    if not path.is_file():
        return []
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))


def write(path: Path, rows: Iterable[Mapping[str, str]]) -> None:
    """Write a table."""
    lines = ["\t".join(FIELDS), *("\t".join(row[field] for field in FIELDS) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def page() -> str:
    """Return the page."""
    record, engines = read(RECORD), defaultdict(set)
    versions = {}
    for row in read(ENGINES):
        engines[row["engine"]].add(row["architecture"])
        versions[row["engine"]] = row["version"]
    passed = Counter(row["kind"] for row in record if row["stage"] == "passed")
    totals = Counter(row["kind"] for row in record)
    summary = [f"| {TITLES[kind]} | {totals[kind]} | {passed[kind]} |" for kind in TITLES]
    text = _HEAD.format(
        transformers=importlib.metadata.version("transformers"),
        vllm=versions["vllm"],
        sglang=versions["sglang"],
        summary="\n".join(summary),
    )
    parts = [text]
    for kind, title in TITLES.items():
        rows = [row for row in record if row["kind"] == kind]
        parts.append(f"\n## {title}\n\n{_TABLE}" + "".join(_line(row, engines) for row in rows if row["stage"] == "passed"))
        if rest := [row for row in rows if row["stage"] != "passed"]:
            parts.append("\n| not verified | class | stage | why |\n|---|---|---|---|\n")
            parts += [f"| {row['model_type']} | {row['class']} | {row['stage']} | {_escaped(_reason(row))} |\n" for row in rest]
    return "".join(parts)


def _line(row: Mapping[str, str], engines: Mapping[str, set[str]]) -> str:
    rows = {"position_ids": "together", "yes": "together", "": "alone"}.get(row["rows"], row["rows"])
    rows = "together" if rows not in ("alone", "together") else rows
    gguf = row["gguf"] if not row["gguf"].startswith("not:") else "not at this size"
    served = ["yes" if row["class"] in engines[engine] else "" for engine in ("vllm", "sglang")]
    cells = (
        row["model_type"], row["class"], " ".join(f"`{name}`" for name in row["lora"].split()), rows if row["kind"] != "masked" else "",
        row["tensor"], row["pipeline"], "linear layers; experts apart" if row["experts"] else "linear layers", gguf, row["onnx"], *served,
    )  # fmt: skip
    return "| " + " | ".join(cells) + " |\n"


def _reason(row: Mapping[str, str]) -> str:
    """Return why a class did not pass, in plain words where the error has none."""
    found = next((words for pattern, words in _REASONS.items() if re.search(pattern, row["error"])), "")
    if not found and row["stage"] == "build" and re.match(r"\w+(Error)?: ", row["error"]):
        found = "the rules for small configurations give no model of text"
    return f"{found} ({row['error']})" if found else row["error"]


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


_REASONS = {  # by a pattern of the error
    r"pixel_values|flattened_patches|input_features|bbox|Bbox|'state'|for input of size": "it takes no rows of text alone",
    r"requires the (\w+) library": "it needs a library that was not there",
    r"is not small": "the rules for small configurations give no small model",
    r"the loss is": "transformers' own loss counts other tokens too",
}
_TABLE = (
    "| model type | class | LoRA | rows | tensor | pipeline | quantized | GGUF | ONNX | vLLM | SGLang |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|\n"
)
_HEAD = """# Architectures, by a run

Which of the classes of transformers {transformers} can be loaded, trained and merged. For each, a small random model is built from its
configuration, written as a checkpoint, loaded by the loader, compared with the one that was written, adapted with LoRA (layers chosen
automatically), trained a step, its adapter saved and restored, merged, saved and loaded again; the logits are compared at each stage. For
classifiers and encoder-decoders the loss is compared with the one that transformers computes of labels. `python docs/architectures.py run`
writes the record behind this page, `make test-full LANE=architectures` goes through it again. Real checkpoints, GPUs and the engines
themselves are not part of it.

| kind | classes | verified |
|---|---|---|
{summary}

The columns:

- **LoRA**: the layers that are adapted if no targets are given; layers that get no gradient, or can't be merged, are left out.
- **rows**: whether rows of different length share a forward pass, and so can be packed, with the losses that they have alone. Each run
  tests it on its own model.
- **tensor**, **pipeline**: transformers has a plan for tensor or pipeline parallelism, which `--parallel mesh` uses.
- **quantized**: quantizers work on linear layers; "experts apart" means that the experts are stacked parameters, which only quantizers
  with an option for experts reach.
- **GGUF**: the architecture of the file that `swift export --exporter gguf` writes. "not at this size": a value of the small model's
  configuration has no place in the file.
- **ONNX**: how `swift export --exporter onnx` exports it: `builder` is onnxruntime-genai's, with a KV cache.
- **vLLM**, **SGLang**: the class is in the engine's own registry, of vLLM {vllm} and SGLang {sglang}. vLLM also serves many others through
  transformers.

A class that several tables of transformers have is listed once, in the first section that applies.
"""


def main() -> None:
    """Run what is asked, and write the page."""
    if sys.argv[1:2] == ["run"]:
        run(sys.argv[2:] or list(TITLES))
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
