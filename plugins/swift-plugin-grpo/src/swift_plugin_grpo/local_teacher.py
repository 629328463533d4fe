"""The teacher of a distillation as a model in the process of the training, and the divergence from it."""

from __future__ import annotations

from math import log, log1p
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from swift_train.build import load_checkpoint
from swift_train.processors import tokenizer_of
from torch.nn.functional import kl_div

from swift_core.contract import UsageError

if TYPE_CHECKING:
    from swift_train.online import Session
    from torch import Tensor
    from torch.nn import Module


def load_teacher(folder: str, session: Session) -> Module:
    """Return the teacher, without gradients, on the device and in the data type of the run.

    Raises:
        UsageError: it has another tokenizer or vocabulary than the student.
    """
    options = session.run.options
    session.watchdog.stage("loading the teacher", patience=2.5)
    device, attention = str(session.strategy.device), options.get("attention", "auto")
    loaded = load_checkpoint(Path(folder), device=device, dtype=options["dtype"], attention=attention, hash="teacher")
    own, other = tokenizer_of(session.trainer.processor).get_vocab(), tokenizer_of(loaded.processor).get_vocab()
    if own != other:
        different = len(set(own.items()) ^ set(other.items()))
        hint = "Use a teacher of the same model family, with the same tokenizer."
        raise UsageError(
            f"the teacher's tokenizer differs from the student's: {different} tokens differ",
            code="RL-041",
            where="teacher_model",
            hint=hint,
        )
    return loaded.model.requires_grad_(False).eval()


def divergences(student: Tensor, teacher: Tensor, beta: float) -> Tensor:
    """Return the generalised Jensen-Shannon divergence at each token (Agarwal et al. 2023, eq. 1; trl `GKDTrainer.generalized_jsd_loss`).

    Args:
        student, teacher: logits, (tokens, vocabulary); a vocabulary that is padded to another size is cut to the smaller one.
        beta: 0: forward divergence, from teacher to student; 1: reverse.

    Returns:
        (tokens,), in nats.
    """
    size = min(student.shape[-1], teacher.shape[-1])
    own, other = (torch.log_softmax(logits[:, :size], -1, dtype=torch.float32) for logits in (student, teacher))
    if beta == 0:
        return kl_div(own, other, reduction="none", log_target=True).sum(-1)
    if beta == 1:
        return kl_div(other, own, reduction="none", log_target=True).sum(-1)
    mixture = torch.logaddexp(own + log1p(-beta), other + log(beta))
    parts = [kl_div(mixture, each, reduction="none", log_target=True).sum(-1) for each in (other, own)]
    return beta * parts[0] + (1 - beta) * parts[1]
