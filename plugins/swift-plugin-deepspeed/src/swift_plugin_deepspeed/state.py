"""What a process of a ZeRO run must keep to go on exactly: its part of the float32 weights and of the optimizer's state, and the scale.

DeepSpeed's own `save_checkpoint` waits for every process in between, so that one whose disk is full would leave the others waiting; its
files hold pickled objects. Here each process writes one file of tensors and numbers, and waits for none.
"""

from __future__ import annotations

from typing import Any

from swift_train.training_state import SAME_MODEL

from swift_core.errors import UsageError

_OPTIMIZER = {True: "optimizer_state_dict", False: "base_optimizer_state"}  # DeepSpeed's names, for ZeRO-3 and for the others
_MASTER = {True: "fp32_flat_groups", False: "single_partition_of_fp32_groups"}
_SCALER = "loss_scaler"


def state_of(zero: Any) -> dict[str, Any]:
    """The state of a ZeRO optimizer. Collective."""
    third = _third(zero)
    if third:
        zero.checkpoint_event_prologue()
    whole = zero.state_dict()
    if third:
        zero.checkpoint_event_epilogue()
    scaler = {key: value for key, value in vars(whole[_SCALER]).items() if isinstance(value, bool | int | float)}
    return {"optimizer": whole[_OPTIMIZER[third]], "master": list(whole[_MASTER[third]]), "scaler": scaler}


def restore(zero: Any, state: dict[str, Any], rank: int, ranks: int) -> None:
    """The inverse, on a freshly built optimizer of as many processes. Collective.

    Raises:
        UsageError: the state is of other weights.
    """
    third = _third(zero)
    if third:
        zero.checkpoint_event_prologue()
    fresh = zero.state_dict()
    saved, here = (sum(part.numel() for part in parts) for parts in (state["master"], fresh[_MASTER[third]]))
    if saved != here:
        raise UsageError(f"the checkpoint has {saved:,} weights for this process, the run {here:,}", where="resume", hint=SAME_MODEL)
    scaler = zero.loss_scaler
    vars(scaler).update(state["scaler"])
    own = {**fresh, _OPTIMIZER[third]: state["optimizer"], _MASTER[third]: state["master"], _SCALER: scaler}
    others: list[Any] = [None] * ranks
    others[rank] = own
    zero.load_state_dict(others, load_optimizer_states=True, load_from_fp32_weights=True)
    if third:
        zero.checkpoint_event_epilogue()
    else:
        zero.update_lp_params()  # the weights that the passes use


def _third(zero: Any) -> bool:
    return hasattr(zero, "fp32_partitioned_groups_flat")
