"""The same tokens at serving: does a server render a checkpoint's golden conversations to the ids that its manifest keeps?

A model that is given another text than it was trained on still answers, only worse, so nothing but a comparison shows it. A server
that tokenises conversations (vLLM's POST /tokenize) is asked for their ids. Any other answers each conversation as messages and as
token ids: the same tokens have the same count, and the same log-probabilities after them. How exactly, its answers to the very same
ids show; a difference between that and what rounding may explain is no pass and no failure.

A chat template may write the day's date. The ids have that of the day of training; the tokens that vary with it are left out of the
comparison, since the server has its own day.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from swift_core.contract.errors import SwiftError
from swift_serve.client import Failed, Refused, post

EXACT = 0.002  # of a log-probability: a difference that means nothing
TOLERANCE = 0.05  # one that rounding may still explain; more is another text
TOP = 5  # log-probabilities that are compared
MOST_OF_A_DATE = 16  # tokens that one day's date may have more than another's
BEFORE, AFTER = 4, 8  # tokens that are shown around the first difference

Golden = Mapping[str, Any]
Result = Literal["same", "different", "unchecked"]


@dataclass(frozen=True, slots=True)
class Check:
    """One conversation: its number of tokens, how it was compared, the result, and its reason. `more` tokens the server has than we."""

    name: str
    tokens: int
    how: Literal["tokens", "token count", "log-probabilities", ""]
    result: Result
    why: str = ""
    more: int = 0


@dataclass(frozen=True, slots=True)
class Parity:
    """What a server did with the golden conversations; `hint` is what a difference probably comes from."""

    checks: tuple[Check, ...]
    hint: str = ""

    @property
    def same(self) -> bool:
        """Whether every conversation was compared, and none differs."""
        return bool(self.checks) and all(check.result == "same" for check in self.checks)

    def words(self, result: Result) -> str:
        """The checks with that result, in words; empty where there are none."""
        return "; ".join(f"'{check.name}': {check.why}" for check in self.checks if check.result == result)


class _CannotTell(Exception):
    """The server has no way to compare; the text says what it lacks."""


def check_parity(url: str, golden: Sequence[Golden], *, model: str, api_key: str | None = None) -> Parity:
    """Compare what a server renders with the ids that a manifest keeps.

    Args:
        url: base of the API, ending in /v1.
        golden: the manifest's conversations.
        model: the name that the server has for the checkpoint.
        api_key: what the server asks for, if it does.

    Raises:
        UsageError: no such model, or a wrong key.
        SwiftError: nobody answers at the URL.
    """
    server = _Server(url, model, api_key)
    checks = tuple(_check(server, entry, f"{number}") for number, entry in enumerate(golden, 1))
    return Parity(checks, _hint(golden, checks))


@dataclass(frozen=True, slots=True)
class _Server:
    url: str
    model: str
    api_key: str | None

    def post(self, path: str, **body: Any) -> Any:
        return post(self.url, path, {"model": self.model, **body}, api_key=self.api_key)

    def text(self, tokens: Sequence[int]) -> str:
        """The tokens' text in quotes; empty where the server can't tell it."""
        try:
            answer = self.post("../detokenize", tokens=list(tokens))
        except SwiftError:
            return ""
        text = answer.get("prompt", answer.get("text"))  # vLLM's field, SGLang's
        return f" {text!r}" if isinstance(text, str) else ""


def _check(server: _Server, entry: Golden, number: str) -> Check:
    name, ids = str(entry.get("name", number)), list(entry["ids"])
    try:
        answer = server.post("../tokenize", **_conversation(entry), add_generation_prompt=True, add_special_tokens=False)
        tokens = answer["tokens"]
    except (Refused, Failed, KeyError, TypeError):
        return _by_probabilities(server, entry, name, ids)
    if _same(tokens, ids, entry.get("varies")):
        return Check(name, len(ids), "tokens", "same")
    return Check(name, len(ids), "tokens", "different", _difference(server, tokens, ids), len(tokens) - len(ids))


def _same(tokens: Sequence[int], ids: Sequence[int], varies: Sequence[int] | None) -> bool:
    """Whether tokens are ours; where the date stands in them, on either side of it."""
    if not varies:
        return list(tokens) == list(ids)
    start, stop = varies
    end = len(tokens) - (len(ids) - stop)
    near = abs(end - stop) <= MOST_OF_A_DATE
    return near and start <= end and list(tokens[:start]) == list(ids[:start]) and list(tokens[end:]) == list(ids[stop:])


def _by_probabilities(server: _Server, entry: Golden, name: str, ids: list[int]) -> Check:
    if entry.get("varies"):
        why = "the chat template writes the date into it, and the server does not tokenise conversations"
        return Check(name, len(ids), "", "unchecked", why)
    try:
        said = server.post("/chat/completions", **_conversation(entry), max_tokens=1, temperature=0, logprobs=True, top_logprobs=TOP)
        count = _inside(said, "token counts", "usage", "prompt_tokens")
        if count != len(ids):
            why = f"the server reads {count} tokens, the checkpoint's are {len(ids)}"
            return Check(name, len(ids), "token count", "different", why, count - len(ids))
        again, ours = _after(server, ids), _after(server, ids)
        theirs = _unambiguous(_inside(said, "log-probabilities", "choices", 0, "logprobs", "content", 0, "top_logprobs"))
    except (Refused, Failed) as error:
        return Check(name, len(ids), "", "unchecked", error.message)
    except _CannotTell as error:
        return Check(name, len(ids), "", "unchecked", str(error))
    far, noise = _distance(theirs, ours), _distance(again, ours)
    if far <= max(EXACT, noise) and far <= TOLERANCE:
        return Check(name, len(ids), "log-probabilities", "same")
    if far <= TOLERANCE:
        why = (
            f"the number of tokens is right, but log-probabilities after them differ by {far:.3f}, and by {noise:.3f} from answer to answer"
        )
        return Check(name, len(ids), "log-probabilities", "unchecked", why)
    why = f"after the conversation its likeliest tokens are {_listed(theirs)}, after the checkpoint's tokens {_listed(ours)}"
    return Check(name, len(ids), "log-probabilities", "different", why)


def _after(server: _Server, ids: list[int]) -> Mapping[str, float]:
    """The likeliest tokens after token ids.

    Raises:
        _CannotTell: the server gives no log-probabilities, or reads something else than these ids.
    """
    answer = server.post("/completions", prompt=ids, max_tokens=1, temperature=0, logprobs=TOP)
    if _inside(answer, "token counts", "usage", "prompt_tokens") != len(ids):
        raise _CannotTell("the server does not take token ids as they are")
    top: Mapping[str, float] = _inside(answer, "log-probabilities", "choices", 0, "logprobs", "top_logprobs", 0)
    return top


def _distance(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """The largest difference of a token that both have; infinite where the likeliest of the first is not in the other."""
    if max(one, key=lambda token: one[token]) not in other:
        return float("inf")
    return max(abs(value - other[token]) for token, value in one.items() if token in other)


def _inside(answer: Any, what: str, *path: str | int) -> Any:
    """A value inside an answer.

    Raises:
        _CannotTell: it has none.
    """
    try:
        for step in path:
            answer = answer[step]
    except (KeyError, IndexError, TypeError):
        answer = None
    if not answer:
        raise _CannotTell(f"the server neither tokenises conversations nor tells {what}")
    return answer


def _unambiguous(top: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Log-probabilities by text; without texts that several tokens have, such as parts of a character.

    Raises:
        _CannotTell: nothing is left.
    """
    texts = [str(item["token"]) for item in top]
    found = {str(item["token"]): float(item["logprob"]) for item in top if texts.count(str(item["token"])) == 1}
    if not found:
        raise _CannotTell("its likeliest tokens can't be told apart by their texts")
    return found


def _listed(top: Mapping[str, float]) -> str:
    return ", ".join(f"{token!r} ({value:.2f})" for token, value in sorted(top.items(), key=lambda item: -item[1])[:3])


def _conversation(entry: Golden) -> dict[str, Any]:
    """The part of a request that holds the conversation, in OpenAI's form: arguments of tool calls are JSON text there."""
    messages = [dict(message) for message in entry["messages"]]
    for message in messages:
        if calls := message.get("tool_calls"):
            message["tool_calls"] = [
                {**call, "function": {**call["function"], "arguments": json.dumps(call["function"]["arguments"], ensure_ascii=False)}}
                for call in calls
            ]
    return {"messages": messages, **({"tools": list(entry["tools"])} if entry.get("tools") else {})}


def _difference(server: _Server, theirs: Sequence[int], ours: Sequence[int]) -> str:
    """Where two lists of ids part, and what both have there."""
    at = next((place for place, (one, other) in enumerate(zip(theirs, ours, strict=False)) if one != other), min(len(theirs), len(ours)))
    here = slice(max(0, at - BEFORE), at + AFTER)
    return (
        f"the server has {len(theirs)} tokens, the checkpoint {len(ours)}, and they part at token {at + 1}: "
        f"{list(theirs[here])}{server.text(theirs[here])} there, {list(ours[here])}{server.text(ours[here])} here"
    )


def _hint(golden: Sequence[Golden], checks: Sequence[Check]) -> str:
    """What the pattern of differences probably comes from."""
    if all(check.result != "different" for check in checks):
        return ""
    differ = [check.result != "same" for check in checks]
    if all(check.more == 1 for check in checks):
        return "One token more in every conversation: probably the server adds a BOS token although the chat template writes one."
    if all(check.more == -1 for check in checks):
        return "One token less in every conversation: probably the server leaves out the BOS token."
    opens = [any(message["role"] == "system" for message in entry["messages"][:1]) for entry in golden]
    if any(opens) and differ == [not own for own in opens]:
        return "Conversations with a system message of their own agree: the server has another default system prompt."
    tools = [bool(entry.get("tools")) for entry in golden]
    if differ == tools:
        return "Only tools differ: the server renders tools or tool calls in another way."
    return "Probably the server has another chat template or tokenizer than the checkpoint was made with."
