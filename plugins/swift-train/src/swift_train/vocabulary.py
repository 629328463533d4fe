"""New tokens: added to the tokenizer, and as rows of the embeddings that start as the mean of the pieces that their text had before.

An adapter with new tokens is saved beside its tokenizer, and its rows are numbered behind those of its base; so a base is extended in the
same way before such an adapter is loaded, by whichever tool it was trained.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch

from swift_core.contract import UsageError
from swift_train.adapters import WEIGHTS
from swift_train.processors import tokenizer_of

if TYPE_CHECKING:
    from torch.nn import Module
    from transformers import AddedToken

    from swift_train.roles import Loaded

PLAIN, SPECIAL = "new_tokens", "new_special_tokens"
_NEW: WeakKeyDictionary[Module, tuple[int, ...]] = WeakKeyDictionary()
_TOKENIZER = "tokenizer.json"


def new_token_ids(model: Module) -> tuple[int, ...]:
    """Return the ids of the tokens that were added to a model for the run."""
    return _NEW.get(model, ())


def extend(loaded: Loaded, options: Mapping[str, Any], adapters: Sequence[Path] = ()) -> None:
    """Add the tokens of the adapters, then those of a run's options, to a loaded model and its tokenizer; those that it has stay.

    Raises:
        UsageError: an adapter that is trained further would get more tokens, or numbers its tokens otherwise than the base would.
    """
    for folder in adapters:
        _extend_as(loaded, folder)
    known = tokenizer_of(loaded.processor).get_vocab()
    wanted = [(text, special) for name, special in ((PLAIN, False), (SPECIAL, True)) for text in options.get(name) or ()]
    if missing := [text for text, _ in wanted if text not in known]:
        if adapters:
            message = f"an adapter that is trained further can't get more tokens, such as {missing[0]}"
            raise UsageError(message, code="TRAIN-210", where=SPECIAL, hint="Merge it first: swift merge, or start a new adapter.")
        _NEW[loaded.model] = tuple(_add(loaded, wanted))


def adapter_tokens(folder: Path, ends: Iterable[str]) -> tuple[list[Mapping[str, Any]], int]:
    """Return the tokens of an adapter's tokenizer that were added, by id, and the rows of its embeddings (0 if only some are trained).

    Both are empty if it trains no embeddings.

    Args:
        folder: the adapter.
        ends: names of the modules that are embeddings or the output layer, without those that they are in.
    """
    from swift_formats.weights import read_header

    file = folder / _TOKENIZER
    if not file.is_file() or not (folder / WEIGHTS).is_file():
        return [], 0
    own, rows = set(ends), 0
    shapes = {name: entry["shape"] for name, entry in read_header(folder / WEIGHTS).items() if name != "__metadata__"}
    trained = {name: shape for name, shape in shapes.items() if own & set(name.split(".")) and "lora_" not in name}
    if not trained:
        return [], 0
    rows = max((shape[0] for name, shape in trained.items() if name.endswith(".weight")), default=0)
    added = json.loads(file.read_text(encoding="utf-8")).get("added_tokens", [])
    return sorted(added, key=lambda token: int(token["id"])), rows


def _extend_as(loaded: Loaded, folder: Path) -> None:
    """Add the tokens that an adapter's tokenizer has beyond the base's, with the same ids."""
    from transformers import AddedToken

    model: Any = loaded.model
    tokenizer = tokenizer_of(loaded.processor)
    ends = {id(part) for part in (model.get_input_embeddings(), model.get_output_embeddings()) if part is not None}
    tokens, rows = adapter_tokens(folder, {path.rpartition(".")[2] for path, part in model.named_modules() if id(part) in ends})
    known = tokenizer.get_vocab()
    for token in (token for token in tokens if token["content"] not in known):
        flags = {name: bool(token.get(name)) for name in ("single_word", "lstrip", "rstrip", "normalized")}
        _add(loaded, [(AddedToken(token["content"], special=bool(token.get("special")), **flags), bool(token.get("special")))])
        if (found := tokenizer.convert_tokens_to_ids(token["content"])) != token["id"]:
            message = f"its token {token['content']} is number {token['id']}, which would be {found} with this base"
            raise UsageError(message, code="TRAIN-211", where=str(folder), hint="Use the base model that the adapter was trained on.")
    if rows > len(model.get_input_embeddings().weight):
        model.resize_token_embeddings(rows, mean_resizing=False)


def _add(loaded: Loaded, wanted: Sequence[tuple[str | AddedToken, bool]]) -> list[int]:
    """Add tokens, each special or not; return the ids of those that are new."""
    from transformers import AddedToken

    model: Any = loaded.model
    tokenizer = tokenizer_of(loaded.processor)
    known, pieces = tokenizer.get_vocab(), {str(token): tokenizer.encode(str(token), add_special_tokens=False) for token, _ in wanted}
    for token, special in wanted:
        own = AddedToken(token, special=special, normalized=False) if isinstance(token, str) else token
        tokenizer.add_tokens([own], special_tokens=special)
    if len(tokenizer) > len(model.get_input_embeddings().weight):
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    new = {int(tokenizer.convert_tokens_to_ids(text)): ids for text, ids in pieces.items() if text not in known}
    for part in (model.get_input_embeddings(), model.get_output_embeddings()):
        if part is not None:
            _start(part.weight, new)
    return list(new)


@torch.no_grad()
def _start(weight: torch.Tensor, new: Mapping[int, Sequence[int]]) -> None:
    """Set the rows of new tokens to the mean of their pieces' rows."""
    for row, pieces in new.items():
        weight[row] = weight[list(pieces)].float().mean(0).to(weight.dtype) if pieces else weight[: min(new)].float().mean(0)
