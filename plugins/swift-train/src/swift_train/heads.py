"""The output layer of a run's model: that of a language model; `score`, which gives N numbers for each position; or none.

transformers' sequence classifiers return the numbers of one position of each padded row, and its models without an output layer those of
all positions. Rows are concatenated in training, so their forward pass also takes the positions, as `logits_to_keep`. Their weights and
files stay transformers'.
"""

from __future__ import annotations

from types import MethodType
from typing import TYPE_CHECKING, Any

from swift_core.checkpoints import Checkpoint
from swift_core.contract import TaskSpec, UsageError
from swift_core.plugins import registry

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from swift_core.contract import Choice, Run

SCORE = "score"  # name of the output layer in transformers' decoder models
HIDDEN = "hidden"  # no output layer, as in `TaskSpec.head`


def head_of_task(task: Choice) -> str:
    """Return the output layer that a task needs, as in `TaskSpec.head`, with the number in place of the option's name."""
    head = registry().spec(task, TaskSpec).head
    kind, _, size = head.partition(":")
    return f"{kind}:{task.options[size]}" if size.isidentifier() else head


def head_of_run(run: Run) -> str:
    """Return the output layer of a run's model: that of its task, else that of its adapters and model.

    Raises:
        UsageError: they have different ones.
    """
    adapters = {source.path: Checkpoint.at(source.path).head for source in run.adapters.values()}
    models = {run.model.path: head} if run.model and (head := Checkpoint.at(run.model.path).head) else {}
    if "task" in run.parts:
        asked, who, stored = head_of_task(run.parts["task"]), f"the task '{run.parts['task'].name}'", {**adapters, **models}
    else:
        stored = {path: head for path, head in {**adapters, **models}.items() if head}
        asked, who = next(iter(stored.values()), ""), next(iter(stored), "")
    for path, head in stored.items():
        if head != asked and not (head == HIDDEN and asked and path in models):  # a new layer on a model without one
            hint = "Use the model and the task that it was trained with."
            raise UsageError(f"it has {described(head)}, and {who} has {described(asked)}", code="TRAIN-128", where=path, hint=hint)
    return asked


def size_of_head(head: str) -> int:
    """Return the numbers per sequence of a head; 0 for one that has none."""
    return int(head.partition(":")[2] or 0)


def has_score_head(model: Module) -> bool:
    """Return whether a transformers model has a head of scores in place of that of a language model."""
    from torch.nn import Module

    return isinstance(getattr(model, SCORE, None), Module)


def has_no_head(model: Any) -> bool:
    """Return whether a transformers model ends with its last hidden states (AutoModel)."""
    return bool(model.base_model_prefix) and model.base_model is model and model.get_output_embeddings() is None


def accept_logits_to_keep(model: Any, pad_token_id: int) -> None:
    """Let a forward pass take `logits_to_keep`, and return the scores or hidden states at these positions of one concatenated row.

    Args:
        model: a transformers model without the head of a language model, on any device.
        pad_token_id: of its tokenizer, saved in its configuration: transformers reads the score of the last other token.

    Raises:
        UsageError: the architecture's classifier is not a single linear layer on the last hidden states.
    """
    from torch.nn import Linear

    if not has_no_head(model) and not isinstance(getattr(model, SCORE, None), Linear):
        name = type(model).__name__
        raise UsageError(f"{name} has no linear output layer '{SCORE}'", code="TRAIN-129", where="model", hint="Use a decoder model.")
    model.config.get_text_config().pad_token_id = pad_token_id
    model.forward = MethodType(_forward, model)


def _forward(self: Any, input_ids: Tensor | None = None, *, logits_to_keep: Tensor | None = None, **arguments: Any) -> Any:
    from transformers.modeling_outputs import SequenceClassifierOutput

    if logits_to_keep is None:
        return type(self).forward(self, input_ids, **arguments)
    given = {name: value for name, value in arguments.items() if value is not None}
    if has_no_head(self):
        return SequenceClassifierOutput(
            logits=type(self).forward(self, input_ids, **given).last_hidden_state.index_select(1, logits_to_keep)
        )
    states = getattr(self, self.base_model_prefix)(input_ids=input_ids, **given).last_hidden_state
    return SequenceClassifierOutput(logits=getattr(self, SCORE)(states.index_select(1, logits_to_keep)))


def described(head: str) -> str:
    """Return a head in a few words, for messages."""
    if head == HIDDEN:
        return "no head, as an embedding model"
    return f"a head of {size_of_head(head)} scores" if head else "the head of a language model"
