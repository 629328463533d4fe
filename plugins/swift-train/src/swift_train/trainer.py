"""The model of a training job: built with its tuner and optimizer for the strategy, and written as checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from swift_core.checkpoints import Manifest, family_of, write_manifest
from swift_core.contract import Choice, Ref, Run, TunerSpec, UsageError
from swift_core.plugins import registry
from swift_core.system import atomic_folder
from swift_train.activations import main_memory, recompute_activations
from swift_train.adapters import inner_model
from swift_train.added_modules import added_parameters
from swift_train.anchor import keep_anchor
from swift_train.averaged_weights import averaged_weights
from swift_train.build import attach, base_of, load_base
from swift_train.checkpoints import run_on_all_ranks
from swift_train.disk_space import copy_model, training_size
from swift_train.float8 import compute_in_float8
from swift_train.heads import head_of_run
from swift_train.maker_record import maker_record
from swift_train.model_parts import parts_of, with_part_rates
from swift_train.options import peak_learning_rate
from swift_train.parameter_groups import mark_embeddings
from swift_train.roles import ModelOptimizerFactory, ScheduledTuner
from swift_train.rope import write_rope
from swift_train.save_model import versions
from swift_train.template_facts import generation_facts, golden, template_facts
from swift_train.vocabulary import PLAIN, SPECIAL

if TYPE_CHECKING:
    from torch.nn import Module
    from torch.optim import Optimizer

    from swift_train.model_parts import Part
    from swift_train.samples import Samples
    from swift_train.strategy import Strategy
    from swift_train.stream import Stream
    from swift_train.tasks import LossTask
    from swift_train.watchdog import Watchdog

# options that determine the number of steps and rows per step, which the loop compares itself
_COUNTED = ("max_steps", "epochs", "batch_size", "gradient_accumulation_steps")


class Trainer:
    """Builds the model, tuner and optimizer for the strategy, and writes the model's checkpoints."""

    module: Module
    optimizer: Optimizer

    def __init__(self, run: Run, task: LossTask, processor: Any, strategy: Strategy, watchdog: Watchdog) -> None:
        self.run, self.task, self.processor, self.strategy, self.watchdog = run, task, processor, strategy, watchdog
        self.tuner = run.part("tuner").build()
        self.adapter = registry().spec(run.part("tuner"), TunerSpec).trains == "adapter"
        self.options = task.options
        self.rate = peak_learning_rate(self.options.learning_rate, adapter=self.adapter)

    def build(self) -> None:
        """Let the strategy build the model and its optimizer."""
        self.strategy.build(self._load, self._optimizer)
        keep_anchor(self.task, self.run, self.strategy.device)
        torch.manual_seed(self.options.seed + 1 + self.strategy.data_rank)  # dropout differs between ranks; new weights do not

    def prepare(self, steps: int, *, resuming: bool) -> None:
        """Prepare a tuner that depends on the number of updates (AdaLoRA); its own state is not in checkpoints.

        Raises:
            UsageError: the run resumes another, and the tuner can't.
        """
        if not isinstance(self.tuner, ScheduledTuner):
            return
        if resuming:
            name = self.run.part("tuner").name
            hint = "Start a new run from its checkpoint with --adapter."
            raise UsageError(f"a run with the tuner '{name}' can't be resumed", code="TRAIN-029", where="resume", hint=hint)
        self.tuner.prepare(self.module, self.optimizer, steps)

    def setup(self, rows: Samples | Stream) -> dict[str, Any]:
        """Return the settings that a resumed run must share with the original one, by name."""
        run = self.run
        chosen = {kind: run.parts[kind] for kind in ("task", "tuner", "quantizer", "optimizer", "parallel") if kind in run.parts}
        parts = {kind: choice.name for kind, choice in chosen.items()}
        options = {f"{kind}.{name}": value for kind, choice in chosen.items() for name, value in options_with_effect(choice).items()}
        for name in _COUNTED:
            options.pop(f"task.{name}", None)
        model = {"model": base_of(run).hash, **{f"adapter.{name}": source.hash for name, source in run.adapters.items()}}
        loading: dict[str, Any] = {name: run.options.get(name, "auto") for name in ("dtype", "attention")}
        loading |= {name: run.options[name] for name in (PLAIN, SPECIAL, "rope_scaling", "max_model_len") if run.options.get(name)}
        return {**parts, **options, **model, **loading, "learning_rate": self.rate, "rows": rows.digest()}

    def finish(self, out: Path, figures: Mapping[str, Any], checkpoint: Path | None) -> None:
        """Write the output with the final figures: a copy of the model in a checkpoint, or the model itself if there is none."""
        if checkpoint is None:
            self.write(out, figures)
            return

        def copy() -> None:
            if self.strategy.writer:
                inside = out.parent.absolute() == checkpoint.parents[1].absolute()
                with atomic_folder(out, overwrite=bool(self.run.options.get("overwrite"))) as partial:
                    copy_model(checkpoint / "model", partial, link=inside)
                    write_manifest(partial, self._manifest(figures))
            self.watchdog.mark("waiting for the other ranks")

        run_on_all_ranks(self.strategy, out, copy)

    def write(self, folder: Path, figures: Mapping[str, Any]) -> None:
        """Write the model as a checkpoint folder. Collective, since the weights may be sharded."""

        def describe(partial: Path) -> None:
            self.processor.save_pretrained(partial)
            self.task.write_files(partial, inner_model(self.module))
            if self.adapter:
                write_rope(partial, self.run, inner_model(self.module).config)
            write_manifest(partial, self._manifest(figures))

        self._write(folder, describe, overwrite=bool(self.run.options.get("overwrite")))

    def write_weights(self, folder: Path) -> None:
        """Write what was learned so far, for an engine: an adapter, or a model with its tokenizer. Collective; a folder is replaced."""
        self._write(folder, lambda partial: None if self.adapter else self.processor.save_pretrained(partial), overwrite=True)

    def _write(self, folder: Path, describe: Callable[[Path], None], *, overwrite: bool) -> None:
        def write() -> None:
            if self.strategy.writer:
                with atomic_folder(folder, overwrite=overwrite) as partial:
                    self.tuner.save(self.module, partial, weights)
                    describe(partial)
            self.watchdog.mark("waiting for the other ranks")

        with averaged_weights(self.optimizer):
            weights = {name: tensor for name, tensor in self.strategy.weights(self._saved_names) if self.strategy.writer}
            self.watchdog.mark("weights gathered")
            run_on_all_ranks(self.strategy, folder, write)

    def _load(self, device: torch.device) -> Module:
        torch.manual_seed(self.options.seed)  # new adapter weights: the same on every rank
        self.watchdog.mark("reading weights")
        module = attach(self.run, load_base(self.run, str(device)).model, self.tuner)
        if self.options.fp8:
            compute_in_float8(module, inner_model(module).get_output_embeddings(), device)
        if self.options.gradient_checkpointing:
            recompute_activations(module, main_memory if self.options.activation_offload else None)
        if self.options.compile:
            module.compile(dynamic=True)
        self.module = module
        own = [id(part) for part in added_parameters(self.task, module)]
        self._saved_names = {
            name for name, part in module.named_parameters() if (part.requires_grad or not self.adapter) and id(part) not in own
        }
        self.size = training_size(module, self._saved_names)
        self.watchdog.mark("distributing weights")
        return module

    def _optimizer(self, module: Module) -> Optimizer:
        given = self.options.embedding_learning_rate
        groups = mark_embeddings(module, self.tuner.parameter_groups(module), given / self.rate if given is not None else None)
        rates: dict[Part, float | None] = {"vit": self.options.vit_lr, "aligner": self.options.aligner_lr}
        parts = parts_of(inner_model(module), family_of(base_of(self.run)))
        groups = with_part_rates(groups, module, parts, rates, self.rate)
        factory = self.run.part("optimizer").build()
        self.optimizer: Optimizer = (
            factory.build_for(module, groups, self.rate) if isinstance(factory, ModelOptimizerFactory) else factory.build(groups, self.rate)
        )
        return self.optimizer

    def _manifest(self, figures: Mapping[str, Any]) -> Manifest:
        run, base = self.run, base_of(self.run)
        tuner, quantizer = run.part("tuner"), run.parts.get("quantizer")
        return Manifest(
            kind="adapter" if self.adapter else "model",
            origin=run.verb,
            base={"reference": base.reference, "hash": base.hash, "path": base.path},
            family=base.family,
            dtype=str(run.options.get("dtype", "auto")),
            head=head_of_run(run),
            tuner=maker_record(tuner),
            quantizer=maker_record(quantizer),
            loader=maker_record(run.parts.get("loader")),
            template=template_facts(self.processor),
            golden=golden(self.processor),
            generation=generation_facts(inner_model(self.module), self.processor),
            figures=dict(figures),
            versions=versions(run),
        )


def options_with_effect(choice: Choice) -> dict[str, Any]:
    """Return the options of a part that affect the result; a resumed run may change the others."""
    others = Ref(choice.options_class).load().without_effect() if choice.options_class else ()
    return {name: value for name, value in choice.options.items() if name not in others}
