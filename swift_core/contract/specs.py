"""The answers that plugins give: frozen data made of strings, so that asking costs nothing and imports nothing.

A plugin module imports this file and the standard library, no more. A `Ref` is a string that is imported when a run needs it.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from swift_core.contract.errors import SwiftError

_BROKEN = "The plugin that names it is broken; SWIFT_DEBUG=1 shows the traceback."


class Ref(str):
    """An object by name, `package.module:attribute`, imported on `load()`."""

    __slots__ = ()

    def __new__(cls, target: str) -> Ref:
        """Check the form, not whether it exists."""
        module, _, attribute = target.partition(":")
        if not module or not attribute:
            raise ValueError(f"a Ref is written 'package.module:attribute', not {target!r}")
        return super().__new__(cls, target)

    @property
    def module(self) -> str:
        """The part before the colon."""
        return self.partition(":")[0]

    def load(self) -> Any:
        """Import the module and return the attribute.

        Raises:
            SwiftError: it can't be imported, with Python's own reason (and as its cause).
        """
        try:
            value: Any = importlib.import_module(self.module)
            for name in self.partition(":")[2].split("."):
                value = getattr(value, name)
        except Exception as error:
            absent = isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] != self.module.partition(".")[0]
            hint = f"pip install {(error.name or '').partition('.')[0]}" if isinstance(error, ModuleNotFoundError) and absent else _BROKEN
            raise SwiftError(f"'{self}' can't be imported: {type(error).__name__}: {error}", code="PLUGIN-004", hint=hint) from error
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The packages that an implementation needs on one kind of device; the first entry that fits the machine is used.

    `requirements` and `no_deps` (installed afterwards, without their dependencies) are PEP 508 strings. `index` is an additional package
    index; `disk` the approximate size in gigabytes of an environment with them.
    """

    when: str = "any"  # "cuda" "rocm" "npu" "mps" "xpu" "cpu" "any"
    python: str = ""  # ">=3.12"
    requirements: tuple[str, ...] = ()
    no_deps: tuple[str, ...] = ()
    index: str = ""
    disk: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Anything that users can name: by `name`, or by an alias in `also`; `summary` is one line without a full stop."""

    kind: ClassVar[str] = ""
    noun: ClassVar[str] = ""  # the kind in a sentence, if that is another word

    name: str  # what users type
    summary: str  # one line, without a full stop
    also: tuple[str, ...] = ()  # other names for it


@dataclass(frozen=True, slots=True)
class FlagFor:
    """A flag of another tool that chooses an implementation and sets one of its options: `--deepspeed FILE.json`."""

    flag: str  # its name, without dashes
    option: str  # the option that gets its value
    suffix: str = ""  # it applies to values that end in this
    yields: bool = False  # it chooses nothing if the command line names an implementation


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec(Named):
    """An implementation of a role: `factory(options)` builds an object with the Protocol in `swift_core.contract.roles`."""

    factory: Ref  # (options) -> the object with the role's Protocol
    options: Ref | None = None  # a pydantic class (swift_core.options.model.Options) in a torch-free module
    engines: tuple[Engine, ...] = ()  # what it needs, one entry per kind of device
    isolated: bool = False  # may run in an environment of its own
    flags: tuple[FlagFor, ...] = ()  # flags of other tools that choose it


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSpec(Spec):
    """A hub of models and data sets. `schemes` are the prefixes it answers: `hf` in `hf:org/name`."""

    kind: ClassVar[str] = "hub"
    schemes: tuple[str, ...]
    separator: str = "@"  # between the name and the revision of a reference
    default: bool = False  # references without a scheme are its own, unless --hub names another
    owners: tuple[str, ...] = ()  # organisations that are known here alone: a bare OWNER/name is asked of no other hub
    switches: Mapping[str, bool] = field(default_factory=dict)  # on/off flags of other tools that choose it: {"use_hf": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFamily(Named):
    """A model architecture, as data: its names in `config.json`, and the paths of its modules.

    A chat template is no part of it: the checkpoint's own counts (`chat_template.jinja`), in training and in serving. `stop_tokens` are
    what ends a turn there, so that a model learns to say it and a server stops at it.

    `targets` are the last parts of the names of the linear layers that adapters train; `blocks` the path of the list of
    decoder layers; the multimodal prefixes are module paths that partition the parameters. `models` are names that users can type in
    place of a reference: `{"moon-1b": "hf:org/moon-1b@8f3c"}`; such a model is of this family, whatever others claim its architecture.
    `classes` are transformers classes of the plugin's own, by the Auto class that is to find them, as in the `auto_map` of a config.json:
    `{"AutoConfig": Ref("…:MoonConfig"), "AutoModelForCausalLM": Ref("…:MoonForCausalLM")}`. They are no remote code.
    """

    kind: ClassVar[str] = "family"
    architectures: tuple[str, ...]  # config.json "architectures"
    model_types: tuple[str, ...] = ()  # config.json "model_type"
    targets: tuple[str, ...] = ()
    skip_quantization: tuple[str, ...] = ("lm_head",)  # modules that are not quantized
    blocks: str = "model.layers"
    embeddings: str = "model.embed_tokens"  # path of the token embedding
    head: str = "lm_head"  # path of the output layer
    language_model: str = ""  # module path of the language model
    vision_tower: str = ""  # module path of the image encoder
    aligner: str = ""  # module path of the projector from image to text features
    modalities: tuple[str, ...] = ("text",)  # of its inputs: text, image, video, audio
    stop_tokens: tuple[str, ...] = ()  # end-of-turn tokens that the chat template writes
    tool_parser: str = ""  # format of the model's tool calls, a name of the serving engines
    reasoning_parser: str = ""  # format of its reasoning, likewise
    remote_code: bool = False  # the library has no native class; the repository's own code is needed
    hub_ids: tuple[str, ...] = ()  # models of the family on the hubs, as examples
    models: Mapping[str, str] = field(default_factory=dict)
    classes: Mapping[str, Ref] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderSpec(Spec):
    """A loader: checkpoint folder → model and processor. `reads` are checkpoint formats.

    `builder` is the function behind `get_model`: (run) -> a ready model. `converter` is a job that writes what the loader
    `converts` (gguf) as a safetensors checkpoint: (run, report) -> figures; what an earlier `conversion` of it wrote is not used again.
    `quantizer` is the job of `swift quantize`, likewise. `verifier` compares an export with its source:
    (source, result, *, tokens, scratch, trust_remote_code) -> figures; see `swift_convert.verify.Result`.
    """

    kind: ClassVar[str] = "loader"
    reads: tuple[str, ...]
    builder: Ref | None = None
    converts: tuple[str, ...] = ()
    converter: Ref | None = None
    conversion: int = 1
    quantizer: Ref | None = None
    verifier: Ref | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSpec(Spec):
    """A named data set, or a file format (`suffixes`). `rows` are the row forms it gives; `licence` and `origin` are shown."""

    kind: ClassVar[str] = "dataset"
    rows: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    origin: str = ""
    licence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec(Spec):
    """A training task. `rows` are the row forms it takes; `trainer` is the job that a worker runs: (run, report) -> figures.

    `loss_scope` is what a term of its loss depends on: a token, a sample or all of a step; strategies that split sequences need to know.
    `head` is the output layer that the model needs: "" for the next token, "score:N" for N numbers per sequence (N may be the name of the
    task's option that has it), "hidden" for none. `prepare` and `carry_out` are those of a `VerbSpec`, for tasks that need a server.
    `inspector` is what `swift data` asks how the task's rows are tokenised and graded: (run) -> `swift_data.inspector.RowInspector`.
    """

    kind: ClassVar[str] = "task"
    rows: tuple[str, ...]
    trainer: Ref
    inspector: Ref | None = None
    loss_scope: Literal["token", "sample", "step"] = "token"
    head: str = ""
    prepare: Ref | None = None
    carry_out: Ref | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TunerSpec(Spec):
    """A tuner: which weights are trained. `implies` names a load-time quantizer; `merger` is the job of `swift merge`.

    The merger of most is `Ref("swift_train.merge:merge")`, which loads the base, calls the tuner's `merge` and verifies the result.
    """

    kind: ClassVar[str] = "tuner"
    trains: Literal["adapter", "weights"]  # what its checkpoints have: an adapter, or all weights
    quantized_base: bool = False  # it trains on a base that is quantized
    merger: Ref | None = None
    implies: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelSpec(Spec):
    """A parallel strategy. `trains` names a trainer that replaces the task's own (Megatron)."""

    kind: ClassVar[str] = "parallel"
    noun: ClassVar[str] = "parallel strategy"
    launcher: str = "local"  # the launcher that starts its processes
    shards: bool = False  # each process holds only a part of the weights
    trains: Ref | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizerSpec(Spec):
    """A quantizer, at load time or into a checkpoint of its own."""

    kind: ClassVar[str] = "quantizer"
    when: Literal["load", "offline"]  # while a model is loaded, or to a checkpoint of its own
    format: str  # the name of the quantization method in config.json
    bits: tuple[int, ...]  # the bit widths that it supports
    calibrates: bool = False  # it needs calibration rows


@dataclass(frozen=True, slots=True, kw_only=True)
class ExporterSpec(Spec):
    """An exporter to another format. `calibrates`: it is a `roles.CalibratingExporter`, and not isolated. `predicts`: into a model."""

    kind: ClassVar[str] = "exporter"
    reads: tuple[str, ...]  # the checkpoint formats it can export
    writes: str  # the format of the result
    calibrates: bool = False
    predicts: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSpec(Spec):
    """A serving engine. `reads` are the checkpoint formats that it can read; `adapters`: it serves adapters beside the base model.

    `adapter_names` is the pattern of the model name that clients send for an adapter, with `{model}` and `{adapter}`; `runtime_adapters`:
    adapters can be added and removed while it runs.
    """

    kind: ClassVar[str] = "backend"
    reads: tuple[str, ...]
    serves: tuple[str, ...] = ("chat", "completions")  # routes of OpenAI's API: chat, completions, embeddings
    modalities: tuple[str, ...] = ("text",)  # of the messages: text, image, video, audio
    adapters: bool = False
    adapter_names: str = "{adapter}"
    runtime_adapters: bool = False

    def adapter_model(self, model: str, adapter: str) -> str:
        """Return the model name that clients send for an adapter."""
        return self.adapter_names.format(model=model, adapter=adapter)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatorSpec(Spec):
    """An evaluator of a server (`over` is http), or of a checkpoint that it loads itself (inline), with `adapters` if it says so."""

    kind: ClassVar[str] = "evaluator"
    over: Literal["http", "inline"] = "http"
    adapters: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LauncherSpec(Spec):
    """A launcher of the processes of a run. `nodes`: whether on several machines."""

    kind: ClassVar[str] = "launcher"
    nodes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerSpec(Spec):
    """An optimizer, built from parameter groups. `shards`: right on flat shards (elements), on sharded tensors only, or on none."""

    kind: ClassVar[str] = "optimizer"
    shards: Literal["elements", "tensors", ""] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionSpec(Named):
    """A section of a report; `content` is (runs: Sequence[`swift_report.ReportedRun`]) -> text, or HTML as `markupsafe.Markup`."""

    kind: ClassVar[str] = "section"
    title: str  # its heading
    content: Ref
    order: int = 500  # sections are shown in ascending order
