"""Token parity: check that a server renders a checkpoint's golden conversations to the token ids in its manifest.

A model that is given other tokens than it was trained on still answers, only worse, so that only a comparison shows it. A server that
tokenises conversations (vLLM's POST /tokenize) is asked for their ids. Any other server answers each conversation twice, as messages and
as token ids: equal tokens have the same count and the same log-probabilities after them. The numerical noise of these is measured by
sending the same ids twice; a difference above the noise, but within rounding, counts as neither equal nor different.

A chat template may write the current date. The ids contain the date of training, and the server uses the current one, so the tokens
that depend on the date are excluded from the comparison.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from swift_core.checkpoints import Golden
from swift_core.contract import Server, SwiftError
from swift_serve.client import Client, Failed, Refused

EXACT = 0.002  # maximum difference of log-probabilities that counts as equal
TOLERANCE = 0.05  # maximum difference that rounding may explain; larger ones mean another text
TOP = 5  # number of top log-probabilities to compare
MOST_OF_A_DATE = 16  # maximum difference in tokens between two dates
BEFORE, AFTER = 4, 8  # tokens to show around the first difference

Result = Literal["same", "different", "unchecked"]


@dataclass(frozen=True, slots=True)
class Check:
    """The result for one conversation: its number of tokens, the method of comparison, the result and its reason. `more` is the number
    of tokens that the server has in excess."""

    name: str  # of the conversation
    tokens: int  # its number of token ids in the manifest
    how: Literal["tokens", "token count", "log-probabilities", ""]  # the method of comparison
    result: Result  # of the comparison
    why: str = ""  # the reason, if it is not `same`
    more: int = 0


@dataclass(frozen=True, slots=True)
class Parity:
    """The results for all golden conversations; `hint` is the probable cause of a difference."""

    checks: tuple[Check, ...]  # one per conversation
    hint: str = ""

    @property
    def same(self) -> bool:
        """True if every conversation was compared and none differs."""
        return bool(self.checks) and all(check.result == "same" for check in self.checks)

    def words(self, result: Result) -> str:
        """Return the names and reasons of the checks with that result, or ''."""
        return "; ".join(f"'{check.name}': {check.why}" for check in self.checks if check.result == result)


class _CannotTell(Exception):
    """The server supports no method of comparison; the text names what it lacks."""


def check_parity(server: Server, golden: Sequence[Golden], *, model: str = "") -> Parity:
    """Compare the tokens of a server with the token ids in a manifest.

    Args:
        server: the server.
        golden: the manifest's golden conversations.
        model: the server's model name of the checkpoint; its first model by default.

    Raises:
        UsageError: there is no such model, or the key is wrong.
        SwiftError: the connection was refused or lost.
    """
    client = Client(replace(server, models=(model,)) if model else server)
    checks = tuple(_check(client, entry, f"{number}") for number, entry in enumerate(golden, 1))
    return Parity(checks, _hint(golden, checks))


def _check(client: Client, entry: Golden, number: str) -> Check:
    name, ids = str(entry.get("name", number)), list(entry["ids"])
    try:
        tokens = client.tokenize(**_conversation(entry))
    except (Refused, Failed):
        return _by_probabilities(client, entry, name, ids)
    if _same(tokens, ids, entry.get("varies")):
        return Check(name, len(ids), "tokens", "same")
    return Check(name, len(ids), "tokens", "different", _difference(client, tokens, ids), len(tokens) - len(ids))


def _same(tokens: Sequence[int], ids: Sequence[int], varies: Sequence[int] | None) -> bool:
    """Return True if `tokens` equal `ids`, apart from the range `varies`, in which the date stands."""
    if not varies:
        return list(tokens) == list(ids)
    start, stop = varies
    end = len(tokens) - (len(ids) - stop)
    near = abs(end - stop) <= MOST_OF_A_DATE
    return near and start <= end and list(tokens[:start]) == list(ids[:start]) and list(tokens[end:]) == list(ids[stop:])


def _by_probabilities(client: Client, entry: Golden, name: str, ids: list[int]) -> Check:
    if entry.get("varies"):
        why = "the chat template inserts the date, and the server does not tokenise conversations"
        return Check(name, len(ids), "", "unchecked", why)
    try:
        request = {"model": client.model, "max_tokens": 1, "temperature": 0, "logprobs": True, "top_logprobs": TOP}
        reply = client.post("/chat/completions", request | _conversation(entry))
        count = _inside(reply, "token counts", "usage", "prompt_tokens")
        if count != len(ids):
            why = f"the server counts {count} tokens, the checkpoint {len(ids)}"
            return Check(name, len(ids), "token count", "different", why, count - len(ids))
        again, ours = _after(client, ids), _after(client, ids)
        theirs = _unambiguous(_inside(reply, "log-probabilities", "choices", 0, "logprobs", "content", 0, "top_logprobs"))
    except (Refused, Failed) as error:
        return Check(name, len(ids), "", "unchecked", error.message)
    except _CannotTell as error:
        return Check(name, len(ids), "", "unchecked", str(error))
    far, noise = _distance(theirs, ours), _distance(again, ours)
    if far <= max(EXACT, noise) and far <= TOLERANCE:
        return Check(name, len(ids), "log-probabilities", "same")
    if far <= TOLERANCE:
        why = f"the number of tokens is equal, but log-probabilities differ by {far:.3f}, and by {noise:.3f} between equal requests"
        return Check(name, len(ids), "log-probabilities", "unchecked", why)
    why = f"the most likely next tokens are {_listed(theirs)} after the conversation, {_listed(ours)} after the checkpoint's tokens"
    return Check(name, len(ids), "log-probabilities", "different", why)


def _after(client: Client, ids: list[int]) -> Mapping[str, float]:
    """Return the most likely next tokens after token ids, with their log-probabilities.

    Raises:
        _CannotTell: the server returns no log-probabilities, or does not use the ids unchanged.
    """
    answer = client.post("/completions", {"model": client.model, "prompt": ids, "max_tokens": 1, "temperature": 0, "logprobs": TOP})
    if _inside(answer, "token counts", "usage", "prompt_tokens") != len(ids):
        raise _CannotTell("the server does not use token ids unchanged")
    top: Mapping[str, float] = _inside(answer, "log-probabilities", "choices", 0, "logprobs", "top_logprobs", 0)
    return top


def _distance(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Return the largest difference over tokens in both; infinite if the most likely token of the first is not in the other."""
    if max(one, key=lambda token: one[token]) not in other:
        return float("inf")
    return max(abs(value - other[token]) for token, value in one.items() if token in other)


def _inside(answer: Any, what: str, *path: str | int) -> Any:
    """Return the value at `path` of a response.

    Raises:
        _CannotTell: there is none.
    """
    try:
        for step in path:
            answer = answer[step]
    except (KeyError, IndexError, TypeError):
        answer = None
    if not answer:
        raise _CannotTell(f"the server neither tokenises conversations nor returns {what}")
    return answer


def _unambiguous(top: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return log-probabilities by token text, without texts that several tokens share, such as parts of a character.

    Raises:
        _CannotTell: none is left.
    """
    texts = [str(item["token"]) for item in top]
    found = {str(item["token"]): float(item["logprob"]) for item in top if texts.count(str(item["token"])) == 1}
    if not found:
        raise _CannotTell("its most likely tokens all have the same text")
    return found


def _listed(top: Mapping[str, float]) -> str:
    return ", ".join(f"{token!r} ({value:.2f})" for token, value in sorted(top.items(), key=lambda item: -item[1])[:3])


def _conversation(entry: Golden) -> dict[str, Any]:
    """Return the request fields of a conversation in OpenAI's format, in which arguments of tool calls are JSON text."""
    messages = [dict(message) for message in entry["messages"]]
    for message in messages:
        if calls := message.get("tool_calls"):
            message["tool_calls"] = [
                {**call, "function": {**call["function"], "arguments": json.dumps(call["function"]["arguments"], ensure_ascii=False)}}
                for call in calls
            ]
    return {"messages": messages, **({"tools": list(entry["tools"])} if entry.get("tools") else {})}


def _difference(client: Client, theirs: Sequence[int], ours: Sequence[int]) -> str:
    """Describe the first difference between two lists of ids, with the tokens around it."""
    at = next((place for place, (one, other) in enumerate(zip(theirs, ours, strict=False)) if one != other), min(len(theirs), len(ours)))
    here = slice(max(0, at - BEFORE), at + AFTER)
    return (
        f"the server has {len(theirs)} tokens, the checkpoint {len(ours)}; the first difference is at token {at + 1}: "
        f"server {list(theirs[here])}{_text(client, theirs[here])}, checkpoint {list(ours[here])}{_text(client, ours[here])}"
    )


def _text(client: Client, tokens: Sequence[int]) -> str:
    """Return the tokens' text in quotes, or '' if the server can't detokenize."""
    try:
        answer = client.post("../detokenize", {"model": client.model, "tokens": list(tokens)})
    except SwiftError:
        return ""
    text = answer.get("prompt", answer.get("text"))  # vLLM's field, SGLang's
    return f" {text!r}" if isinstance(text, str) else ""


def _hint(golden: Sequence[Golden], checks: Sequence[Check]) -> str:
    """Return the probable cause of the differences, or '' if there are none."""
    if all(check.result != "different" for check in checks):
        return ""
    differ = [check.result != "same" for check in checks]
    if all(check.more == 1 for check in checks):
        return "One extra token in every conversation: probably the server adds a BOS token although the chat template writes one."
    if all(check.more == -1 for check in checks):
        return "One token is missing in every conversation: probably the server omits the BOS token."
    opens = [any(message["role"] == "system" for message in entry["messages"][:1]) for entry in golden]
    if any(opens) and differ == [not own for own in opens]:
        return "Only conversations without a system message differ: the server has another default system prompt."
    tools = [bool(entry.get("tools")) for entry in golden]
    if differ == tools:
        return "Only conversations with tools differ: the server renders tools or tool calls differently."
    return "Probably the server uses another chat template or tokenizer than the training."
