"""What transformers gives: loaders, pretrain and sft, the full and freeze tuners, ddp, AdamW and the embedded server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.contract.specs import BackendSpec, LoaderSpec, OptimizerSpec, ParallelSpec, Problem, Ref, TunerSpec

if TYPE_CHECKING:
    from swift_core.contract.run import Run

SWIFT_EXAMPLES = Ref("swift_plugin_transformers.examples:EXAMPLES")


@hookimpl
def swift_model_loaders() -> list[LoaderSpec]:
    """Safetensors checkpoints, and GGUF files, which are dequantized and can be converted."""
    return [
        LoaderSpec(
            name="transformers",
            summary="Safetensors and GGUF checkpoints through transformers' own classes",
            also=("hf",),
            factory=Ref("swift_plugin_transformers.loader:TransformersLoader"),
            reads=("safetensors", "gguf"),
            builder=Ref("swift_train.build:get_model"),
            converts=("gguf",),
            converter=Ref("swift_plugin_transformers.convert:convert"),
            conversion=2,
            quantizing=Ref("swift_train.quantize:quantize"),
            verifying=Ref("swift_train.export_comparison:compare"),
        )
    ]


@hookimpl
def swift_tuners() -> list[TunerSpec]:
    """Training of the model's own weights, all or some."""
    merger = Ref("swift_train.merge:merge")
    return [
        TunerSpec(
            name="full",
            summary="Every weight learns",
            factory=Ref("swift_plugin_transformers.tuners:FullTuner"),
            trains="weights",
            merger=merger,
        ),
        TunerSpec(
            name="freeze",
            summary="Some of the weights learn: the last blocks, or those named",
            factory=Ref("swift_plugin_transformers.tuners:FreezeTuner"),
            options=Ref("swift_plugin_transformers.options:FreezeOptions"),
            trains="weights",
            merger=merger,
        ),
    ]


@hookimpl
def swift_parallel_strategies() -> list[ParallelSpec]:
    """One process, or copies of the model that average their gradients."""
    return [
        ParallelSpec(
            name="ddp",
            summary="A copy of the model a process, gradients averaged",
            factory=Ref("swift_plugin_transformers.ddp:DdpStrategy"),
            options=Ref("swift_plugin_transformers.ddp_options:DdpOptions"),
        )
    ]


@hookimpl
def swift_optimizers() -> list[OptimizerSpec]:
    """torch's AdamW."""
    return [
        OptimizerSpec(
            name="adamw",
            summary="Adam with decoupled weight decay, none on norms and biases",
            also=("adamw_torch",),
            factory=Ref("swift_plugin_transformers.optimizer:AdamW"),
            options=Ref("swift_plugin_transformers.options:AdamWOptions"),
        )
    ]


@hookimpl
def swift_backends() -> list[BackendSpec]:
    """The embedded server."""
    return [
        BackendSpec(
            name="transformers",
            summary="The embedded server: transformers behind the OpenAI API, on any device",
            also=("pt", "hf", "huggingface"),
            factory=Ref("swift_plugin_transformers.backend:TransformersBackend"),
            options=Ref("swift_plugin_transformers.serve_options:ServeOptions"),
            reads=("safetensors", "gguf"),
            adapters=True,
            runtime_adapters=True,
        )
    ]


@hookimpl
def swift_check(run: Run) -> Iterator[Problem]:
    """What is not there, what a stream can't do, and groups of weights that don't divide, said before anything is read."""
    if run.parts.get("loader") and run.parts["loader"].name == "transformers":
        from swift_train import preflight

        yield from preflight.problems(run)
    if run.verb == "quantize":
        from swift_train import group_size

        yield from group_size.problems(run)
    if "task" not in run.parts or not run.options.get("data", {}).get("streaming"):
        return
    options = run.part("task").options
    if not options.get("max_steps"):
        hint = "Say how many steps to learn: --max-steps 1000."
        yield Problem(where="max_steps", message="how long a stream is can't be known", hint=hint)
    if options.get("validation_ratio"):
        hint = "Name rows to hold out: --val-dataset FILE."
        yield Problem(where="validation_ratio", message="nothing can be held out of a stream", hint=hint)
