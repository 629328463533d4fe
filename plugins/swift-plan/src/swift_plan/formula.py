"""The plan of a training run by formula: milliseconds, without torch. Weights, adapter, gradients and optimizer are exact for AdamW; saved
activations are those of a decoder block with a gated MLP, within about a third (measured against traces).

Elements saved per token and block for the backward pass: the inputs of norms, attention and the MLP's four matrices, 9·hidden + 4·inner;
with activation checkpointing, one hidden state per block, and one block's activations at a time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swift_train.chunk_sizes import CHUNK, CPU_CHUNK

from swift_core.contract import ParallelSpec, QuantizerSpec, TunerSpec
from swift_core.plugins import registry
from swift_plan.plan import Phase

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swift_core.contract import Choice, Run
    from swift_plan.checkpoint_shapes import Shapes
    from swift_plan.workload import Workload

MASTER, GRADIENT, ADAM = 4, 4, 8  # bytes per trainable weight: float32, its gradient, AdamW's two moments
_ZERO = re.compile(r"zero(\d)")
_OTHER_ADAPTERS = 0.005  # share of the weights that an adapter without a rank trains
_SCALES = 0.25  # bits per weight that the scales of quantized weights take
_LOGITS_NEEDED = ("label_smoothing", "z_loss", "router_loss", "compile")  # options with which a task takes all logits
_WIDTH = {"float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True, slots=True)
class State:
    """Tensors that are alive between steps, in bytes of one process."""

    weights: int
    adapter: int
    gradients: int
    optimizer: int
    trained: int  # number of trainable weights, over all processes
    least: int  # a lower bound of the weights, adapter, gradients and optimizer


def width_of(dtype: str) -> int:
    """Return the bytes of a number of a dtype."""
    return _WIDTH.get(dtype, 4)


def state_of(run: Run, shapes: Shapes, dtype: str) -> State:
    """Return the memory between steps of a training run whose weights are loaded in a dtype."""
    known, tuner = registry(), run.part("tuner")
    spec = known.spec(tuner, TunerSpec)
    loaded = loaded_bytes(shapes, dtype, run.parts.get("quantizer"))
    share = sharing_of(run)
    adamw = run.parts.get("optimizer") is None or run.part("optimizer").name == "adamw"
    if spec.trains == "weights":
        trained, weights, adapter = shapes.parameters, MASTER * shapes.parameters, 0
        certain = trained * (MASTER + GRADIENT + (ADAM if adamw else 0)) if spec.options is None else loaded
    else:
        trained = adapter_weights(tuner.options, shapes)
        weights, adapter, certain = loaded, MASTER * trained, loaded
    return State(
        int(weights * share.weights),
        int(adapter * share.weights),
        int(GRADIENT * trained * share.gradients),
        int(ADAM * trained * share.optimizer),
        trained,
        0 if share.offloads else certain // run.workers if share.weights < 1 else certain,
    )


@dataclass(frozen=True, slots=True)
class Sharing:
    """The fraction of weights, gradients and optimizer that a process holds on its device."""

    weights: float = 1.0
    gradients: float = 1.0
    optimizer: float = 1.0
    offloads: bool = False


def sharing_of(run: Run) -> Sharing:
    """Return how a run's strategy shares out its memory; ZeRO's stages are those of https://arxiv.org/abs/1910.02054."""
    parallel = run.parts.get("parallel")
    if parallel is None or not registry().spec(parallel, ParallelSpec).shards:
        return Sharing()
    part, stage = 1 / run.workers, _ZERO.match(parallel.name)
    number = int(stage[1]) if stage else 3
    weights = 0.0 if parallel.options.get("offload_weights") else part if number == 3 else 1.0
    optimizer = 0.0 if parallel.options.get("offload_optimizer") else part
    return Sharing(weights, part if number >= 2 else 1.0, optimizer, not (weights and optimizer))


def adapter_weights(options: Mapping[str, Any], shapes: Shapes) -> int:
    """Return the number of weights of an adapter: rank · (inputs + outputs) of each adapted matrix."""
    rank = options.get("rank")
    targets = options.get("targets", "auto")
    names = targets if isinstance(targets, list) else ()
    if not isinstance(rank, int):
        return int(shapes.parameters * _OTHER_ADAPTERS)
    return sum(
        rank * (weight.shape[-1] + weight.shape[-2]) * (weight.shape[0] if len(weight.shape) == 3 else 1)
        for weight in shapes.matrices(names)
    )


def loaded_bytes(shapes: Shapes, dtype: str, quantizer: Choice | None) -> int:
    """Return the bytes of the weights as they are loaded: in a dtype, those of the blocks' matrices packed if there is a quantizer."""
    width = width_of(dtype)
    if quantizer is None:
        return shapes.parameters * width
    packed = sum(weight.count for weight in shapes.matrices())
    return int((shapes.parameters - packed) * width + packed * (bits_of(quantizer) + _SCALES) / 8)


def bits_of(quantizer: Choice) -> float:
    """Return the bits per weight of a quantizer."""
    given = quantizer.options.get("bits")
    return float(given if isinstance(given, int) else registry().spec(quantizer, QuantizerSpec).bits[0])


def _logits(options: Mapping[str, Any], shapes: Shapes, work: Workload, *, kind: str) -> int:
    """Return the number of logits that are in memory at once: of all supervised tokens, or of a chunk if the head computes the loss."""
    whole = int(shapes.vocabulary * work.tokens * work.supervised)
    plain = options.get("loss_type") == "cross-entropy" and not any(options.get(name) for name in _LOGITS_NEEDED)
    return min(whole, CPU_CHUNK if kind == "cpu" else CHUNK) if plain else whole


def training_phases(run: Run, shapes: Shapes, work: Workload, dtype: str, state: State, *, kind: str) -> tuple[Phase, ...]:
    """Return the phases of a training run on a kind of device."""
    options, tokens, width = run.part("task").options, work.tokens, width_of(dtype)
    inner = shapes.number("intermediate_size", "n_inner", "ffn_dim", default=4 * shapes.hidden)
    if experts := shapes.number("num_experts_per_tok", "num_experts_per_token"):
        inner = experts * shapes.number("moe_intermediate_size", default=inner)
    block = (9 * shapes.hidden + 4 * inner) * tokens * width
    inputs = 0 if options.get("activation_offload") else shapes.hidden * tokens * width
    saved = shapes.layers * (inputs if options.get("gradient_checkpointing") else block)
    saved += block if options.get("gradient_checkpointing") else 0
    logits = _logits(options, shapes, work, kind=kind) * width
    gradients = state.gradients if work.passes > 1 else 0
    base = {"weights": state.weights, "adapter": state.adapter}
    held = {**base, "optimizer": state.optimizer}
    largest = max((weight.count for weight in shapes.weights.values()), default=0)
    backward = {"activations": saved, "logits": logits, "temporary": logits, "gradients": gradients}
    foreach = {"gradients": state.gradients, "temporary": state.gradients}
    return (
        Phase("load", {"weights": state.weights, "temporary": largest * width if run.parts.get("quantizer") else 0}),
        Phase("step", {**held, **backward}),
        Phase("update", {**held, **foreach}),
        Phase("evaluate", {**held, "activations": block, "logits": logits}),
        Phase("save", held),
    )


def flops_per_token(run: Run, shapes: Shapes) -> float:
    """Return the floating-point operations of forward and backward per token, without attention: 2 per active weight and pass."""
    active = float(shapes.parameters - shapes.vocabulary * shapes.hidden)
    experts, chosen = shapes.number("num_experts", "n_routed_experts", "num_local_experts"), shapes.number("num_experts_per_tok")
    if experts and chosen:
        shared = shapes.parameters - shapes.block_parameters
        active = shared + shapes.block_parameters * chosen / experts
    passes = 2 if registry().spec(run.part("tuner"), TunerSpec).trains == "adapter" else 3  # inputs; and weights
    return 2 * active * (passes + bool(run.part("task").options.get("gradient_checkpointing")))
