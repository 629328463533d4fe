"""Plugin over transformers: model loader, tuners full and freeze, ddp, AdamW, and the embedded server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.contract import BackendSpec, EvaluatorSpec, LoaderSpec, OptimizerSpec, ParallelSpec, Problem, Ref, TunerSpec

if TYPE_CHECKING:
    from swift_core.contract import Run

SWIFT_EXAMPLES = Ref("swift_plugin_transformers.examples:EXAMPLES")


@hookimpl
def swift_loaders() -> list[LoaderSpec]:
    """Register the loader of safetensors and GGUF checkpoints; GGUF files are dequantized and can be converted."""
    return [
        LoaderSpec(
            name="transformers",
            summary="Safetensors and GGUF checkpoints, loaded with transformers",
            also=("hf",),
            factory=Ref("swift_plugin_transformers.loader:TransformersLoader"),
            reads=("safetensors", "gguf"),
            builder=Ref("swift_train.build:get_model"),
            converts=("gguf",),
            converter=Ref("swift_plugin_transformers.convert:convert"),
            conversion=2,
            quantizer=Ref("swift_train.quantize:quantize"),
            verifier=Ref("swift_train.export_comparison:compare"),
        )
    ]


@hookimpl
def swift_tuners() -> list[TunerSpec]:
    """Register the tuners that train the model's own weights, all or some."""
    merger = Ref("swift_train.merge:merge")
    return [
        TunerSpec(
            name="full",
            summary="Train all weights",
            factory=Ref("swift_plugin_transformers.tuners:FullTuner"),
            options=Ref("swift_train.model_parts:TrainParts"),
            trains="weights",
            merger=merger,
        ),
        TunerSpec(
            name="freeze",
            summary="Train some of the weights: the last blocks, or weights by name",
            factory=Ref("swift_plugin_transformers.tuners:FreezeTuner"),
            options=Ref("swift_plugin_transformers.options:FreezeOptions"),
            trains="weights",
            merger=merger,
        ),
    ]


@hookimpl
def swift_parallel() -> list[ParallelSpec]:
    """Register distributed data parallelism."""
    return [
        ParallelSpec(
            name="ddp",
            summary="Data parallelism: one model replica per process, gradients averaged",
            factory=Ref("swift_plugin_transformers.ddp:DdpStrategy"),
            options=Ref("swift_plugin_transformers.ddp_options:DdpOptions"),
        )
    ]


@hookimpl
def swift_optimizers() -> list[OptimizerSpec]:
    """Register torch's AdamW."""
    return [
        OptimizerSpec(
            name="adamw",
            summary="AdamW; no weight decay on norms and biases",
            also=("adamw_torch", "adamw_torch_fused", "adamw_hf", "adamw_apex_fused", "adamw_torch_npu_fused"),
            factory=Ref("swift_plugin_transformers.optimizer:AdamW"),
            options=Ref("swift_train.optimizer_options:AdamOptions"),
            shards="elements",
        )
    ]


@hookimpl
def swift_backends() -> list[BackendSpec]:
    """Register the embedded server."""
    return [
        BackendSpec(
            name="transformers",
            summary="Embedded server: transformers with an OpenAI-compatible API, on any device",
            also=("pt", "hf", "huggingface"),
            factory=Ref("swift_plugin_transformers.backend:TransformersBackend"),
            options=Ref("swift_plugin_transformers.serve_options:ServeOptions"),
            reads=("safetensors", "gguf"),
            serves=("chat", "completions", "embeddings", "classify", "token_classify", "score", "rerank"),
            adapters=True,
            runtime_adapters=True,
        )
    ]


@hookimpl
def swift_evaluators() -> list[EvaluatorSpec]:
    """Register the evaluator that loads the checkpoint itself."""
    return [
        EvaluatorSpec(
            name="builtin",
            summary="Perplexity, divergence from a reference, preferences, calibration and speed on rows, in process",
            factory=Ref("swift_plugin_transformers.evaluation.evaluator:Builtin"),
            options=Ref("swift_plugin_transformers.evaluation.options:BuiltinOptions"),
            over="inline",
            adapters=True,
        )
    ]


@hookimpl
def swift_check(run: Run) -> Iterator[Problem]:
    """Report problems before anything is loaded: missing files, options that streaming excludes, quantization groups of the wrong size."""
    if run.parts.get("loader") and run.parts["loader"].name == "transformers":
        from swift_train import preflight

        yield from preflight.problems(run)
    choice = run.parts.get("evaluator")
    if run.verb == "eval" and choice and (choice.name, choice.plugin) == ("builtin", "transformers"):
        from swift_plugin_transformers.evaluation import rows

        yield from rows.problems(run)
    if run.verb == "quantize":
        from swift_train import group_size

        yield from group_size.problems(run)
    if "task" not in run.parts or not run.options.get("data", {}).get("streaming"):
        return
    options = run.part("task").options
    if not options.get("max_steps"):
        hint = "Set the number of steps, for example --max-steps 1000."
        yield Problem(
            code="MODEL-001", where="max_steps", message="streaming requires max_steps, since the length of a stream is unknown", hint=hint
        )
    if options.get("validation_ratio"):
        hint = "Use a separate validation set: --val-dataset FILE."
        yield Problem(code="MODEL-002", where="validation_ratio", message="streaming does not support a validation split", hint=hint)
