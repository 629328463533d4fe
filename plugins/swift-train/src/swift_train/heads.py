"""The output layer of a run's model: that of a language model; scores, N numbers for each sequence or each token; or none.

transformers' sequence classifiers return the numbers of one position of each padded row, and its models without an output layer those of
all positions. Rows are concatenated in training, so their forward pass also takes the positions, as `logits_to_keep`. Their weights and
files stay transformers'.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from itertools import pairwise
from types import MethodType
from typing import TYPE_CHECKING, Any

from swift_core.checkpoints import Checkpoint
from swift_core.contract import TaskSpec, UsageError
from swift_core.plugins import registry

if TYPE_CHECKING:
    from torch import Tensor

    from swift_core.contract import Choice, Run

SCORE = "score"  # name of the output layer in transformers' decoder models
HIDDEN = "hidden"  # no output layer, as in `TaskSpec.head`
TOKEN = "token"  # scores of each token
_BESIDE_ROWS = ("inputs_embeds", "output_hidden_states", "use_cache")


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
    """Return the numbers per sequence, or per token, of a head; 0 for one that has none."""
    return int(head.partition(":")[2] or 0)


def auto_class(head: str) -> str:
    """Return the name of transformers' Auto class for a head."""
    return {"": "AutoModelForCausalLM", HIDDEN: "AutoModel", TOKEN: "AutoModelForTokenClassification"}.get(
        head.partition(":")[0], "AutoModelForSequenceClassification"
    )


def score_modules(model: Any) -> list[str]:
    """Return the names of the children of a transformers model that make scores of its last hidden states; none for other heads.

    One linear layer `score` in decoders; in encoders also pooling and dense layers, such as `classifier`.
    """
    from transformers import PreTrainedModel

    if not isinstance(model, PreTrainedModel) or not model.base_model_prefix or model.base_model is model:
        return []
    if model.get_output_embeddings() is not None:  # type: ignore[no-untyped-call]
        return []
    children = [(name, child) for name, child in model.named_children() if child is not model.base_model]
    return [name for name, child in children if next(child.parameters(), None) is not None]


def is_score(name: str, model: Any) -> bool:
    """Return whether a parameter, by its name, belongs to the head of scores."""
    return name.partition(".")[0] in score_modules(model)


def has_score_head(model: Any) -> bool:
    """Return whether a transformers model has a head of scores in place of that of a language model."""
    return bool(score_modules(model))


def has_no_head(model: Any) -> bool:
    """Return whether a transformers model ends with its last hidden states (AutoModel)."""
    return bool(model.base_model_prefix) and model.base_model is model and model.get_output_embeddings() is None


def accept_logits_to_keep(model: Any, pad_token_id: int) -> None:
    """Let a forward pass take `logits_to_keep` with concatenated rows, and return the scores or hidden states at these positions.

    Rows of a model that says of its attention that it is causal stay concatenated; those of any other, and of one whose head is more than
    a linear layer on each position, are padded and masked for the pass. `swift_train.row_isolation` tests either on the loaded model.

    Args:
        model: a transformers model without the head of a language model, on any device.
        pad_token_id: of its tokenizer, saved in its configuration: transformers reads the score of the last other token.
    """
    from torch.nn import Linear

    model.config.get_text_config().pad_token_id = pad_token_id
    names = score_modules(model)
    simple = not names or (len(names) == 1 and isinstance(getattr(model, names[0]), Linear) and names[0] == SCORE)
    model.forward = MethodType(_concatenated if simple and declares_causal(model) else _padded, model)


def declares_causal(model: Any) -> bool:
    """Return whether the attention layers of a transformers model say that tokens attend to earlier ones only."""
    said = [module.is_causal for module in model.modules() if isinstance(getattr(module, "is_causal", None), bool)]
    return bool(said) and all(said)


def _concatenated(self: Any, input_ids: Tensor | None = None, *, logits_to_keep: Tensor | None = None, **arguments: Any) -> Any:
    from transformers.modeling_outputs import SequenceClassifierOutput

    if logits_to_keep is None:
        return type(self).forward(self, input_ids, **_taken(self, arguments))
    given = {name: value for name, value in arguments.items() if value is not None}
    if has_no_head(self):
        return SequenceClassifierOutput(
            logits=type(self).forward(self, input_ids, **given).last_hidden_state.index_select(1, logits_to_keep)
        )
    states = getattr(self, self.base_model_prefix)(input_ids=input_ids, **given).last_hidden_state.index_select(1, logits_to_keep)
    dropout = getattr(self, "dropout", None)  # of token classifiers
    return SequenceClassifierOutput(logits=getattr(self, SCORE)(states if dropout is None else dropout(states)))


def _padded(
    self: Any,
    input_ids: Tensor,
    *,
    logits_to_keep: Tensor | None = None,
    position_ids: Tensor | None = None,
    token_type_ids: Tensor | None = None,
    **arguments: Any,
) -> Any:
    """Run the model on the rows of (1, tokens) as (rows, longest), and return its output at these positions, or of each row in order."""
    import torch
    from torch.nn.utils.rnn import pad_sequence
    from transformers.modeling_outputs import SequenceClassifierOutput

    given = {name: value for name, value in arguments.items() if value is not None and name in _BESIDE_ROWS}
    if logits_to_keep is None:
        more = {"position_ids": position_ids, "token_type_ids": token_type_ids, **arguments}
        return type(self).forward(self, input_ids, **_taken(self, {name: value for name, value in more.items() if value is not None}))
    starts = [0] if position_ids is None else (position_ids[0] == 0).nonzero().squeeze(1).tolist()
    lengths = [end - start for start, end in pairwise([*starts, input_ids.shape[1]])]
    if token_type_ids is not None and "token_type_ids" in signature(type(self).forward).parameters:
        given["token_type_ids"] = pad_sequence(list(torch.split(token_type_ids[0], lengths)), batch_first=True)
    ids = pad_sequence(
        list(torch.split(input_ids[0], lengths)), batch_first=True, padding_value=self.config.get_text_config().pad_token_id or 0
    )
    mask = pad_sequence(list(torch.split(input_ids.new_ones(input_ids.shape[1]), lengths)), batch_first=True)
    output = type(self).forward(self, ids, attention_mask=mask, **_taken(self, given))
    found = output.last_hidden_state if has_no_head(self) else output.logits
    if found.dim() == mask.dim():  # scores of each row, (rows, scores)
        rows = torch.arange(len(mask), device=mask.device)[:, None].expand_as(mask)
        found = found[rows]
    return SequenceClassifierOutput(logits=found[mask.bool()][None].index_select(1, logits_to_keep))


def _taken(model: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments without `use_cache` for a model that does not take it."""
    return {name: value for name, value in arguments.items() if name != "use_cache" or takes_use_cache(model)}


def takes_use_cache(model: Any) -> bool:
    """Return whether the forward pass of a transformers model takes `use_cache`.

    Some encoders know no cache (SqueezeBERT), and classifiers on an encoder-decoder turn it off themselves (T5Gemma).
    """
    parameters = signature(type(model).forward).parameters
    return "use_cache" in parameters or (
        any(each.kind is each.VAR_KEYWORD for each in parameters.values()) and not model.config.is_encoder_decoder
    )


def described(head: str) -> str:
    """Return a head in a few words, for messages."""
    if head == HIDDEN:
        return "no head, as an embedding model"
    if head.startswith(TOKEN):
        return f"a head of {size_of_head(head)} scores of each token"
    return f"a head of {size_of_head(head)} scores" if head else "the head of a language model"
