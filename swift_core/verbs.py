"""The verbs, as data: which parts each has, which are chosen where the user says nothing, and which one has the flat flags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from swift_core.contract.errors import UsageError, suggestion
from swift_core.contract.specs import Ref


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """A verb. `main` is the part whose options are the verb's own at the command line and at the top level of the YAML.

    `parts` maps each part to the name chosen by default ('' for none); a part in `fixed` is the verb itself and can't be
    chosen. `job` is what a worker calls; where it is None, a chosen part brings it (the task its trainer, the tuner its merger).
    `flags` is what the flag that chooses a part is called, where it is not the part's name.
    """

    name: str
    summary: str
    options: Ref
    main: str = ""
    parts: Mapping[str, str] = field(default_factory=dict)
    fixed: frozenset[str] = frozenset()
    job: Ref | None = None
    also: tuple[str, ...] = ()
    flags: Mapping[str, str] = field(default_factory=dict)


_TRAINING = {"tuner": "lora", "quantizer": "", "parallel": "ddp", "optimizer": "adamw", "loader": "transformers", "launcher": "local"}
PREFERRED: Mapping[str, str] = _TRAINING
"""Which implementation of a part is meant where several know an option and the user named none."""


def _training(name: str, summary: str, *also: str) -> Verb:
    return Verb(
        name=name,
        summary=summary,
        options=Ref("swift_core.verb_options:TrainingOptions"),
        main="task",
        parts={"task": name, **_TRAINING},
        fixed=frozenset({"task"}),
        also=also,
    )


VERBS: Mapping[str, Verb] = {
    verb.name: verb
    for verb in (
        _training("sft", "Fine-tune a model on conversations"),
        _training("pretrain", "Train a model on plain text", "pt"),
        Verb(
            name="merge",
            summary="Fold an adapter into its base, and prove it",
            options=Ref("swift_core.verb_options:MergeOptions"),
            parts={"tuner": "", "loader": "transformers"},
            fixed=frozenset({"tuner"}),
            also=("merge-lora",),
        ),
        Verb(
            name="serve",
            summary="Serve a checkpoint behind an OpenAI-compatible API",
            options=Ref("swift_core.verb_options:ServeOptions"),
            main="backend",
            parts={"backend": "transformers"},
            job=Ref("swift_serve.serve:serve"),
            also=("deploy",),
        ),
        Verb(
            name="ask",
            summary="Put questions to a checkpoint or a server, and keep the answers",
            options=Ref("swift_core.verb_options:AskOptions"),
            parts={"backend": "transformers"},
            job=Ref("swift_serve.ask:ask"),
        ),
        Verb(
            name="export",
            summary="Write a checkpoint in another format",
            options=Ref("swift_core.verb_options:ExportOptions"),
            main="exporter",
            parts={"exporter": ""},
            flags={"exporter": "to"},
            job=Ref("swift_convert.export:export"),
        ),
        Verb(
            name="quantize",
            summary="Write a checkpoint in fewer bits, and measure what was lost",
            options=Ref("swift_core.verb_options:QuantizeOptions"),
            main="quantizer",
            parts={"quantizer": "", "loader": "transformers"},
        ),
        Verb(
            name="fetch",
            summary="Bring a model onto this machine",
            options=Ref("swift_core.verb_options:FetchOptions"),
            parts={"loader": "transformers"},
        ),
        Verb(
            name="load",
            summary="Load a model in this process",
            options=Ref("swift_core.verb_options:LoadOptions"),
            parts={"tuner": "", "quantizer": "", "loader": "transformers"},
        ),
    )
}

_SEEN = {"task": "sft", "loader": "transformers"}
DATA_CHECK = Verb(
    name="data check",
    summary="Check data sets before they are learned",
    options=Ref("swift_core.verb_options:DataCheckOptions"),
    main="task",
    parts=_SEEN,
    job=Ref("swift_data.check:check"),
)
DATA_SHOW = Verb(
    name="data show",
    summary="Show a row as the model sees it and is graded on it",
    options=Ref("swift_core.verb_options:DataShowOptions"),
    main="task",
    parts=_SEEN,
    job=Ref("swift_data.show:show"),
)
DATA_CONVERT = Verb(
    name="data convert",
    summary="Write data sets as JSONL in the one spelling of their kind",
    options=Ref("swift_core.verb_options:DataConvertOptions"),
    job=Ref("swift_data.convert:convert"),
)
"""What `swift data` does is resolved as a verb is, but done at once in this process: no run of a recipe, and none of `VERBS`."""

PART_SPELLINGS = {
    "tuner_type": "tuner",
    "train_type": "tuner",
    "sft_type": "tuner",
    "deepspeed": "parallel",
    "fsdp": "parallel",
    "infer_backend": "backend",
    "quant_method": "quantizer",
    "quantization_method": "quantizer",
    "optim": "optimizer",
}
"""Other tools' names for the choice of a part (ms-swift of three generations, LLaMA-Factory)."""


def training_verb(task: str) -> Verb:
    """The verb that trains a task: its own, or for a task of a plugin's one that is like them."""
    own = next((verb for verb in VERBS.values() if verb.main == "task" and task in (verb.name, *verb.also)), None)
    return own or _training(task, f"Train the task {task}")


def verb_named(name: str, *, where: str = "run") -> Verb:
    """The verb of that name or alias.

    Raises:
        UsageError: there is none, with a suggestion.
    """
    for verb in VERBS.values():
        if name == verb.name or name in verb.also:
            return verb
    hint = suggestion(name, VERBS) or f"Known: {', '.join(sorted(VERBS))}."
    raise UsageError(f"there is no verb '{name}'", where=where, hint=hint)
