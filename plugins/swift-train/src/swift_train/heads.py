"""The output layer of a run's model: that of a language model, or `score`, which gives N numbers for each position.

transformers' sequence classifiers return the numbers of one position of each padded row. Rows are concatenated here, so the classifier's
forward pass is replaced by one that returns the numbers of the positions in `logits_to_keep`. Its weights and files stay transformers'.
"""

from __future__ import annotations

from types import MethodType
from typing import TYPE_CHECKING, Any

from torch import nn

from swift_core.checkpoints import Checkpoint
from swift_core.contract import TaskSpec, UsageError
from swift_core.plugins import registry

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from swift_core.contract import Choice, Run

SCORE = "score"  # name of the output layer in transformers' decoder models


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
    stored = {source.path: head for source in _sources(run) if (head := Checkpoint.at(source.path).head)}
    asked = head_of_task(run.parts["task"]) if "task" in run.parts else next(iter(stored.values()), "")
    for path, head in stored.items():
        if head != asked:
            wanted = f"needs {describe(asked)}" if "task" in run.parts else f"is used with {describe(asked)}"
            hint = "Use the model that it was made from."
            raise UsageError(f"it has {describe(head)}, and {wanted}", code="TRAIN-128", where=path, hint=hint)
    return asked


def size_of_head(head: str) -> int:
    """Return the numbers per sequence of a head; 0 for a language model's."""
    return int(head.partition(":")[2] or 0)


def describe(head: str) -> str:
    """Return the name of a head for messages."""
    return f"a head of {size_of_head(head)} scores" if head else "the head of a language model"


def has_score_head(model: Module) -> bool:
    """Return whether a transformers model has a head of scores in place of that of a language model."""
    return isinstance(getattr(model, SCORE, None), nn.Module)


def return_scores_by_position(model: Any, pad_token_id: int) -> None:
    """Replace a sequence classifier's forward pass by one that returns the scores of all positions, or of those in `logits_to_keep`.

    Args:
        model: a transformers model, on any device.
        pad_token_id: of its tokenizer, saved in its configuration: transformers reads the score of the last other token.

    Raises:
        UsageError: the architecture's classifier is not a single linear layer on the last hidden states.
    """
    if not isinstance(getattr(model, SCORE, None), nn.Linear):
        name = type(model).__name__
        raise UsageError(f"{name} has no linear output layer '{SCORE}'", code="TRAIN-129", where="model", hint="Use a decoder model.")
    model.config.get_text_config().pad_token_id = pad_token_id
    model.forward = MethodType(_scores, model)


def _scores(self: Any, input_ids: Tensor | None = None, *, logits_to_keep: Tensor | None = None, **arguments: Any) -> Any:
    from transformers.modeling_outputs import SequenceClassifierOutput

    given = {name: value for name, value in arguments.items() if value is not None}
    states = getattr(self, self.base_model_prefix)(input_ids=input_ids, **given).last_hidden_state
    kept = states if logits_to_keep is None else states.index_select(1, logits_to_keep)
    return SequenceClassifierOutput(logits=getattr(self, SCORE)(kept))


def _sources(run: Run) -> list[Any]:
    return [*run.adapters.values(), *([run.model] if run.model else ())]
