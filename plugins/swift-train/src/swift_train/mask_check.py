"""The check that every run makes before it starts: on some rows, that the mask is what it should be, worked out another way.

The encoder goes from characters to tokens; here every turn's prompt is tokenised by itself, as an engine does it, and compared token by
token. A mask that is shifted by one, lost its end token, or let a token of the prompt in, does not pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from swift_core.contract.errors import SwiftError

if TYPE_CHECKING:
    from swift_data.rows import ChatRow

    from swift_train.masks import ChatEncoder
    from swift_train.tokenise import Encoded


class MaskError(SwiftError):
    """The mask is wrong: ours or a template's fault, never the user's."""


def check_turns(encoder: ChatEncoder, row: ChatRow, sequences: Sequence[Encoded]) -> None:
    """Check a conversation's sequences: each learned turn once, from the first token after its prompt through its stop token.

    Raises:
        MaskError: what is wrong, with the tokens around it.
    """
    template, tokenizer = encoder.template.for_row(row), encoder.template.tokenizer
    prompts = {
        index: _ids(tokenizer, template.render(row.messages[:index], row.tools, prompt=True)) for index in encoder.supervised_messages(row)
    }
    found: list[int] = []
    for ids, spans in ((encoded.ids.tolist(), encoded.spans) for encoded in sequences):
        for start, stop, _ in spans:
            turn = next((index for index, prompt in prompts.items() if prompt == ids[:start]), None)
            if turn is None:
                raise MaskError(f"a supervised turn does not begin where a prompt ends: {_around(tokenizer, ids, start)}", hint=_REPORT)
            said = str(tokenizer.decode(ids[start:stop])).rstrip()
            if not said.endswith(template.stops):
                raise MaskError(
                    f"message {turn + 1} is not supervised through its stop token: {_around(tokenizer, ids, stop)}", hint=_REPORT
                )
            found.append(turn)
    if sorted(found) != sorted(prompts):
        raise MaskError(f"messages {_numbers(prompts)} are to be learned, but {_numbers(found)} are supervised", hint=_REPORT)


_REPORT = "This is a fault of ours, or of the chat template; please report it with the row and the model's name."


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def _around(tokenizer: Any, ids: Sequence[int], place: int) -> str:
    return f"{tokenizer.decode(ids[max(0, place - 6) : place])!r} | {tokenizer.decode(ids[place : place + 6])!r}"


def _numbers(turns: Sequence[int] | dict[int, Any]) -> str:
    return ", ".join(str(turn + 1) for turn in sorted(turns)) or "none"
