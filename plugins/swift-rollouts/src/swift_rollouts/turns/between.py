"""The token ids between an answer and the next one: what the chat template writes for the messages of others.

The tokens that the model has sampled are never rendered or tokenised again: the template renders a probe in their place, and what follows
the end of the probe's turn is tokenised. A template that rewrites earlier turns (removes their reasoning) therefore does not do so here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from swift_core.contract import UsageError

if TYPE_CHECKING:
    from swift_train.chat_template import ChatTemplate

Message = Mapping[str, Any]
_ASKED: Message = {"role": "user", "content": "?"}
_PROBE = "∎"


def ids_between(
    template: ChatTemplate, answer: Message, replies: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None
) -> list[int]:
    """Return the token ids from after the end-of-turn token of an answer to where the next answer begins.

    Args:
        template: of the model.
        answer: the answer as a message; its names and ids of tool calls matter.
        replies: the messages that follow it.
        tools: definitions of the tools, as in the prompt.

    Raises:
        UsageError: the template refuses such messages, or does not end the answer's turn.
    """
    probe = _PROBE
    while any(probe in str(message) for message in replies):
        probe += _PROBE
    for said in _probes(answer, probe):
        text = template.render([_ASKED, said, *replies], tools, prompt=True)
        if probe in text:
            break
    else:
        raise _no_end(answer)
    rest = text.rpartition(probe)[2]
    places = [(rest.index(stop), -len(stop)) for stop in template.stops if stop in rest]
    if not places:
        raise _no_end(answer)
    place, length = min(places)
    ids: list[int] = template.tokenizer(rest[place - length :], add_special_tokens=False)["input_ids"]
    return ids


def _probes(answer: Message, probe: str) -> list[Message]:
    """Return the answer with the probe as its text, or for templates that leave out the text beside tool calls, in their arguments."""
    calls = answer.get("tool_calls")
    if not calls:
        return [{"role": "assistant", "content": probe}]
    bare, probed = ([{**call, "function": {**call["function"], "arguments": given}} for call in calls] for given in ({}, {"probe": probe}))
    return [{"role": "assistant", "content": probe, "tool_calls": bare}, {"role": "assistant", "content": "", "tool_calls": probed}]


def _no_end(answer: Message) -> UsageError:
    what = "an answer with tool calls" if answer.get("tool_calls") else "an answer"
    message = f"the chat template does not end {what} that others reply to"
    return UsageError(message, code="RL-034", where="model", hint="Use another template: --chat-template FILE.")
