"""Call the towers of a model in passes without media too, where its weights are sharded over processes.

Each call of a sharded module gathers its weights from all processes, so that a process whose rows have no image would leave the others
waiting. In such a pass the features of a blank file of each kind that is absent are computed and added to the inputs of the language model,
multiplied by 0: the outputs stay, gradients of the towers are 0, and the collectives of all processes match.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from swift_core.contract import UsageError
from swift_train.adapters import inner_model
from swift_train.samples import Samples

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from swift_train.media.collate import MediaCollator
    from swift_train.media.processor import MediaProcessor
    from swift_train.stream import Stream


_USED = ("pooler_output", "deepstack_features")  # of a tower's output, what the language model gets; layers behind have no gradient


def fill_towers(module: Module, media: MediaCollator | None, rows: Samples | Stream, heldout: Samples | None, *, processes: int) -> None:
    """Make all processes call the towers equally often, if rows of the run have media and not all have the same kind.

    Args:
        module: the model as the strategy has it.
        media: builds the media of micro-batches; None for a model of text.
        rows, heldout: training and validation rows.
        processes: those that hold shards of the weights.

    Raises:
        UsageError: the model has no methods for the features of its media.
    """
    known = [rows if isinstance(rows, Samples) else rows.head(), *([heldout] if heldout is not None else [])]
    having = {bool(count) for samples in known for count in samples.media_counts.tolist()}
    if media is None or processes == 1 or True not in having:
        return
    kinds = media.processor.placeholders
    if having == {True} and isinstance(rows, Samples) and len(kinds) == 1:
        return
    base = inner_model(module).base_model
    if missing := [kind for kind in kinds if not hasattr(base, _features_of(kind))]:
        raise UsageError(
            f"some rows have no media, this strategy shards the encoder of {missing[0]}s over the processes, which must all call it, and "
            f"{type(base).__name__} has no {_features_of(missing[0])}",
            code="TRAIN-158",
            where="parallel",
            hint="Use --parallel ddp, or rows that all have such files, without streaming.",
        )
    TowerFillers(module, media.processor)


def _features_of(kind: str) -> str:
    """Return the name of the method that computes the features of a kind of media in transformers' models."""
    return f"get_{kind}_features"


class TowerFillers:
    """Hooks of a model that fill passes in which a kind of media is absent.

    Args:
        module: the model as the strategy has it, wrapped and sharded.
        processor: of the model.
    """

    def __init__(self, module: Module, processor: MediaProcessor) -> None:
        model = inner_model(module)
        self._base = model.base_model
        blanks = {kind: processor.blank_tensors(kind) for kind in processor.placeholders}
        first = {
            next(iter(blank)): kind for kind, blank in reversed(blanks.items())
        }  # kinds may share an argument, and a call of the tower
        self._blanks = {kind: blanks[kind] for kind in first.values()}
        self._absent: tuple[str, ...] = ()
        self._base.register_forward_pre_hook(self._before_model, with_kwargs=True)
        model.get_decoder().register_forward_pre_hook(self._before_decoder, with_kwargs=True)

    def _before_model(self, _: Module, args: tuple[Any, ...], given: dict[str, Any]) -> None:
        self._absent = tuple(kind for kind, blank in self._blanks.items() if given.get(next(iter(blank))) is None)

    def _before_decoder(self, _: Module, args: tuple[Any, ...], given: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        for kind in self._absent:
            embeddings = given["inputs_embeds"]
            for value in _tensors(self._features(kind, embeddings)):
                embeddings = embeddings + 0 * value.sum().to(embeddings.dtype)
            given = {**given, "inputs_embeds": embeddings}
        self._absent = ()
        return args, given

    def _features(self, kind: str, embeddings: Tensor) -> Any:
        compute = getattr(self._base, _features_of(kind))
        takes = inspect.signature(compute).parameters
        found = compute(**{name: value.to(embeddings.device) for name, value in self._blanks[kind].items() if name in takes})
        used = [found[name] for name in _USED if isinstance(found, Mapping) and name in found]
        return used or found


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yield the floating-point tensors in the output of a tower."""
    import torch

    if isinstance(value, torch.Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)
