"""Training state of a ZeRO process for an exact resume: its shard of the float32 master weights and optimizer state, and the loss scale.

DeepSpeed's own `save_checkpoint` contains barriers, so a process whose disk is full would leave the others waiting, and its files hold
pickled objects. Here each process writes one file of tensors and numbers, without a barrier.
"""

from __future__ import annotations

from typing import Any

from swift_train.training_state import SAME_MODEL

from swift_core.contract import UsageError

_OPTIMIZER = {True: "optimizer_state_dict", False: "base_optimizer_state"}  # DeepSpeed's keys, for ZeRO-3 and for the other stages
_MASTER = {True: "fp32_flat_groups", False: "single_partition_of_fp32_groups"}
_SCALER = "loss_scaler"


def state_of(zero: Any) -> dict[str, Any]:
    """Return the state of a ZeRO optimizer: `optimizer`, `master` (weights) and `scaler`. Collective."""
    stage_3 = _is_stage_3(zero)
    if stage_3:
        zero.checkpoint_event_prologue()
    full = zero.state_dict()
    if stage_3:
        zero.checkpoint_event_epilogue()
    scaler = {key: value for key, value in vars(full[_SCALER]).items() if isinstance(value, bool | int | float)}
    return {"optimizer": full[_OPTIMIZER[stage_3]], "master": list(full[_MASTER[stage_3]]), "scaler": scaler}


def restore(zero: Any, state: dict[str, Any], rank: int, ranks: int) -> None:
    """Load what `state_of` returned into a newly built optimizer, on the same number of processes. Collective.

    Raises:
        UsageError: the state has a different number of weights.
    """
    stage_3 = _is_stage_3(zero)
    if stage_3:
        zero.checkpoint_event_prologue()
    fresh = zero.state_dict()
    saved, expected = (sum(shard.numel() for shard in shards) for shards in (state["master"], fresh[_MASTER[stage_3]]))
    if saved != expected:
        raise UsageError(
            f"the checkpoint has {saved:,} trainable weights for this process, the run has {expected:,}",
            code="PARALLEL-006",
            where="resume",
            hint=SAME_MODEL,
        )
    scaler = zero.loss_scaler
    vars(scaler).update(state["scaler"])
    loaded = {**fresh, _OPTIMIZER[stage_3]: state["optimizer"], _MASTER[stage_3]: state["master"], _SCALER: scaler}
    states: list[Any] = [None] * ranks
    states[rank] = loaded
    zero.load_state_dict(states, load_optimizer_states=True, load_from_fp32_weights=True)
    if stage_3:
        zero.checkpoint_event_epilogue()
    else:
        zero.update_lp_params()  # the low-precision weights that the passes use


def _is_stage_3(zero: Any) -> bool:
    return hasattr(zero, "fp32_partitioned_groups_flat")
