"""Build the model of a run from a checkpoint: family → loader (with the quantizer's arguments) → tuner.

`get_model`, the training loop and the embedded server all use it, so that they work with the same model.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.checkpoints import UNKNOWN, Checkpoint, check_base, family_of, identify
from swift_core.contract import Choice, LoaderSpec, ModelFamily, QuantizerSpec, Run, Source, UsageError
from swift_core.plugins import registry
from swift_core.runs import recorded_loader
from swift_train.adapters import check_adapter, compatible_tuners, tuner_name, tuner_of
from swift_train.devices import pick_device, pick_dtype
from swift_train.heads import HIDDEN, SCORE, has_no_head, has_score_head, head_of_run, size_of_head
from swift_train.onednn_matmul import use_onednn_matmul
from swift_train.plugin import LOAD
from swift_train.roles import Loaded, Loading, RemarkingTuner, TokenTuner
from swift_train.rope import rope_of
from swift_train.vocabulary import extend, new_token_ids
from swift_train.weights import stored_dtype

if TYPE_CHECKING:
    from torch.nn import Module

    from swift_core.runs import Context
    from swift_train.roles import Tuner


log = logging.getLogger(__name__)


def load_base(run: Run, device: str = "auto") -> Loaded:
    """Load the run's base model without adapters, quantized if the run has a quantizer.

    Args:
        device: the device to load to; `auto` takes the one in the run's options. The dtype is always chosen for the latter.

    Raises:
        UsageError: the weights are missing, damaged or pickled, or need remote code that is not trusted.
    """
    source = base_of(run)
    run_device = pick_device(run.options.get("device", "auto"))
    dtype = pick_dtype(run.options.get("dtype", "auto"), run_device, stored_dtype(Path(source.path)))
    return load_with(run, device=run_device if device == "auto" else pick_device(device), dtype=dtype, quantizer=run.parts.get("quantizer"))


def load_with(run: Run, *, device: str, dtype: str, quantizer: Choice | None, arguments: Mapping[str, Any] | None = None) -> Loaded:
    """Load the run's base model with a given device, dtype, quantizer and extra `arguments` for the loader. Raises as `load_base` does."""
    use_onednn_matmul()
    source = base_of(run)
    family, head = family_of(source), head_of_run(run)
    if size_of_head(head):
        family = replace(family, skip_quantization=(*family.skip_quantization, SCORE))
    loading = Loading(
        device=device,
        dtype=dtype,
        attention=run.options.get("attention", "auto"),
        experts=run.options.get("experts", "auto"),
        trust_remote_code=bool(run.options.get("trust_remote_code")),
        arguments={**(quantizer.build().load_arguments(family, dtype) if quantizer else {}), **(arguments or {})},
        head=head,
        rope=rope_of(run),
    )
    loader = _loader(run, source.format)
    loaded: Loaded = loader.build().load(Path(source.path), family, loading)
    if head and not (has_no_head(loaded.model) if head == HIDDEN else has_score_head(loaded.model)):
        hint = "Choose another --loader."
        message = f"the loader '{loader.name}' loads only models with the head of a language model"
        raise UsageError(message, code="TRAIN-132", where="loader", hint=hint)
    _decompress(loaded.model)
    extend(loaded, run.options, [Path(source.path) for source in run.adapters.values()])
    loaded.model.name_or_path = public_name(source)  # type: ignore[assignment]  # PEFT writes it into adapter_config.json
    if "tuner" in run.parts and getattr(loaded.model, "is_quantized", False):
        _prepare_quantized(loaded.model, quantizer)
    return loaded


def attach(run: Run, model: Module, tuner: Tuner) -> Module:
    """Make a loaded base trainable: attach a new adapter, or the run's adapter to continue training it.

    Raises:
        UsageError: the run has more than one adapter, another tuner made it, or it does not belong to this base.
    """
    if not run.adapters:
        if (tokens := new_token_ids(model)) and isinstance(tuner, TokenTuner):
            tuner.train_tokens(tokens)
        return tuner.attach(model, family_of(base_of(run)))
    if len(run.adapters) > 1:
        raise UsageError(
            "only one adapter can be trained at a time", code="TRAIN-002", where="adapter", hint=f"Choose one of {', '.join(run.adapters)}."
        )
    folder = Path(next(iter(run.adapters.values())).path)
    if not compatible_tuners(tuner, tuner_of(folder)):
        name = tuner_name(folder)
        raise UsageError(
            f"this adapter was made by the tuner '{name}'", code="TRAIN-003", where=str(folder), hint=f"Use the same tuner: --tuner {name}."
        )
    return load_adapter(
        model, folder, base_of(run), tuner=tuner, trainable=True, allow_other_base=bool(run.options.get("allow_other_base"))
    )


def carry_out(run: Run, context: Context) -> Module:
    """Load the model of a run in this process, with the loader's own builder.

    Raises:
        UsageError: the loader cannot build a model here.
    """
    choice = run.part("loader")
    builder = registry().spec(choice, LoaderSpec).builder
    if builder is None:
        raise UsageError(
            f"the loader '{choice.name}' can't load a model into this process",
            code="TRAIN-004",
            where="loader",
            hint="Choose another --loader.",
        )
    model: Module = builder.load()(run)
    return model


def get_model(run: Run) -> Module:
    """Build the model that `swift_core.get_model` returns, with `.processor`: trainable if the run has a tuner, else in eval mode."""
    loaded = load_base(run)
    if "tuner" in run.parts:
        tuner = run.part("tuner").build()
        model = attach(run, loaded.model, tuner)
        for remark in tuner.remarks if isinstance(tuner, RemarkingTuner) else ():
            log.warning("%s", remark)
    else:
        adapters = {name: Path(source.path) for name, source in run.adapters.items()}
        allowed = bool(run.options.get("allow_other_base"))
        model = load_adapters(loaded.model, adapters, base_of(run), allow_other_base=allowed)
    model.processor = loaded.processor
    return model


def load_checkpoint(
    path: Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    attention: str = "auto",
    trust_remote_code: bool = False,
    family: str = "",
    adapters: Mapping[str, Path] | None = None,
    allow_other_base: bool = False,
    hash: str = "",
    loader: Choice | None = None,
) -> Loaded:
    """Load a checkpoint folder for inference, with named `adapters`; the first one is active.

    Args:
        family: needed only if neither the manifest nor config.json determines it.
        hash: content hash of the checkpoint if known; adapters must have been trained on it unless `allow_other_base`.
        loader: by default the one that the adapters or the checkpoint were made with.

    Raises as `load_base` and `load_adapter` do.
    """
    options = {"device": device, "dtype": dtype, "attention": attention, "trust_remote_code": trust_remote_code}
    base = source_of(path, family, hash)
    on_it = {name: source_of(folder) for name, folder in (adapters or {}).items()}
    parts = {"loader": loader} if loader else {}
    loaded = load_base(Run(verb="load", job="", model=base, adapters=on_it, parts=parts, options=options))
    return Loaded(load_adapters(loaded.model, adapters or {}, base, allow_other_base=allow_other_base), loaded.processor)


def load_adapters(model: Module, adapters: Mapping[str, Path], base: Source, *, allow_other_base: bool = False) -> Module:
    """Load trained adapters onto a base, frozen; the first one is active. Raises as `load_adapter` does."""
    for name, folder in adapters.items():
        model = load_adapter(model, folder, base, name=name, allow_other_base=allow_other_base)
    return model.eval()


def load_adapter(
    model: Module,
    folder: Path,
    base: Source,
    *,
    tuner: Tuner | None = None,
    name: str = "default",
    trainable: bool = False,
    allow_other_base: bool = False,
) -> Module:
    """Load a saved adapter onto its base, after checking that the two belong together.

    Args:
        model: the loaded base, possibly with other adapters.
        folder: the adapter.
        base: the checkpoint that the model was loaded from.
        tuner: reads the adapter; by default the one that made it.
        name: the adapter's name on the model.
        trainable: whether its parameters require gradients.
        allow_other_base: accept an adapter that was trained on another base, if its shapes fit.

    Raises:
        UsageError: the adapter is incomplete, was trained on another base, or does not fit this one.
    """
    check_adapter(folder)
    if not allow_other_base:
        check_base(folder, base, log.warning)
    return (tuner or tuner_of(folder)).restore(model, folder, trainable=trainable, name=name)


def source_of(path: Path, family: str = "", hash: str = "") -> Source:
    """Describe a checkpoint folder as a Source; its family, if not given, comes from its manifest or config.json."""
    found, families = Checkpoint.at(path), registry().all(ModelFamily)
    if not family and found.manifest and any(known.name == found.manifest.family for known in families):
        family = found.manifest.family
    if not family and found.config:
        family = (identify(found.config, families) or UNKNOWN).name
    return Source(reference=f"file:{path}", path=str(path), hash=hash, format=found.format, family=family)


def base_of(run: Run) -> Source:
    """Return the checkpoint that the run starts from.

    Raises:
        UsageError: the run has no model, or its model is an adapter.
    """
    if run.model is None:
        raise UsageError(
            "no model given", code="TRAIN-005", where="model", hint="Give a checkpoint folder or a reference such as hf:org/name."
        )
    if Checkpoint.at(run.model.path).spec.adapter:
        raise UsageError(
            "this is an adapter, not a model",
            code="TRAIN-006",
            where=run.model.path,
            hint="Give its base as --model and this as --adapter.",
        )
    return run.model


def public_name(source: Source) -> str:
    """Return the name by which other tools find the base: its Hugging Face id, its absolute path if it is local, else its reference."""
    name = source.reference
    if not name or name.startswith("file:"):
        return str(Path(source.path).absolute())
    return name.removeprefix("hf:").partition("@")[0] if name.startswith("hf:") else name


def _prepare_quantized(model: Any, quantizer: Choice | None) -> None:
    """Let the quantizer prepare the model for training; for a checkpoint stored quantized, the quantizer of its format."""
    if quantizer is None:
        form = str(getattr(model.config.quantization_config.quant_method, "value", model.config.quantization_config.quant_method))
        names = [spec.name for spec in registry().all(QuantizerSpec) if spec.when == "load" and spec.format == form]
        if not names:
            return
        quantizer = registry().choose("quantizer", names[0])
    quantizer.build().ready_to_train(model)


def _decompress(model: Any) -> None:
    """Decompress compressed-tensors layers now, not in the first forward pass, when an attached adapter has missed their weights."""
    compressor = getattr(getattr(model, "hf_quantizer", None), "compressor", None)
    if compressor is not None and getattr(model, "is_quantized", False):
        compressor.decompress_model(model)


def _loader(run: Run, form: str) -> Choice:
    """Return the run's loader, else the one recorded in its checkpoints, else the default or first one that reads the format."""

    sources = [*run.adapters.values(), *([run.model] if run.model else ())]
    choice = run.parts.get("loader") or recorded_loader(sources, registry())
    if choice is None:
        names = [spec.name for spec in registry().all(LoaderSpec) if form in spec.reads]
        names.sort(key=lambda name: name != LOAD.parts["loader"])
        if not names:
            raise UsageError(
                f"no installed plugin loads {form} checkpoints",
                code="TRAIN-007",
                where="loader",
                hint="pip install swift-plugin-transformers",
            )
        choice = registry().default("loader", names[0])
    return choice
