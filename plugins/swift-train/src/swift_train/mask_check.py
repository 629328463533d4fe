"""Check the loss mask of some rows before a run starts, by a second method that is independent of the encoder.

The encoder maps character spans to tokens; here each turn's prompt is tokenised separately, as an inference engine does it, and compared
token by token; the prompt of a row with media by the model's own processor. The check fails for a mask that is shifted by one, lacks the
stop token, or includes a token of the prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from swift_core.contract import SwiftError

if TYPE_CHECKING:
    from swift_data.rows import ChatRow

    from swift_train.masks import ChatEncoder
    from swift_train.tokenise import Encoded


class MaskError(SwiftError):
    """The mask is wrong: a bug in the encoder or the chat template, never the user's mistake."""


def check_turns(encoder: ChatEncoder, row: ChatRow, sequences: Sequence[Encoded]) -> None:
    """Check that a conversation's sequences supervise each turn once, from the first token after its prompt through its stop token.

    Raises:
        MaskError: a turn is supervised wrongly; the message shows the tokens around the error.
    """
    template, tokenizer = encoder.template.for_row(row), encoder.template.tokenizer
    prompts = {index: encoder.prompt_ids(row, index) for index in encoder.supervised_messages(row)}
    found: list[int] = []
    for ids, spans in ((encoded.ids.tolist(), encoded.spans) for encoded in sequences):
        for start, stop, _ in spans:
            turn = next((index for index, prompt in prompts.items() if prompt == ids[:start]), None)
            if turn is None:
                raise MaskError(
                    f"a supervised turn does not begin where a prompt ends: {_around(tokenizer, ids, start)}",
                    code="TRAIN-035",
                    hint=_REPORT,
                )
            supervised = str(tokenizer.decode(ids[start:stop])).rstrip()
            if not supervised.endswith(template.stops):
                raise MaskError(
                    f"message {turn + 1} is not supervised through its stop token: {_around(tokenizer, ids, stop)}",
                    code="TRAIN-036",
                    hint=_REPORT,
                )
            found.append(turn)
    if sorted(found) != sorted(prompts):
        raise MaskError(f"messages {_numbers(prompts)} should be supervised, but {_numbers(found)} are", code="TRAIN-037", hint=_REPORT)


_REPORT = "This is a bug in the mask or the chat template; please report it with the row and the model's name."


def _around(tokenizer: Any, ids: Sequence[int], index: int) -> str:
    return f"{tokenizer.decode(ids[max(0, index - 6) : index])!r} | {tokenizer.decode(ids[index : index + 6])!r}"


def _numbers(turns: Sequence[int] | dict[int, Any]) -> str:
    return ", ".join(str(turn + 1) for turn in sorted(turns)) or "none"
