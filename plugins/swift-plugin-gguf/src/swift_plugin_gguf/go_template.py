"""A chat template of Jinja as one of Go, where it is plain enough: what stands before and after each role's words.

Nothing is read out of the template's text: the pieces come from renderings of probes, and conversations that are put together from them
must be those that the template renders.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Message = Mapping[str, str]
Render = Callable[[Sequence[Message], bool], str]  # (messages, whether the assistant is to speak)

_SYSTEM, _ASKED, _ANSWERED, _AGAIN = "∎system∎", "∎asked∎", "∎answered∎", "∎again∎"
_ROLES = ("system", "user", "assistant", "user", "assistant", "user")
_TRIALS = (("Be brief.", "Hi"), ("Be brief.", "Hi", "Hello.", "Tell me\n\nmore: {{ x }}", "No.", "?"))


@dataclass(frozen=True, slots=True)
class TurnTemplate:
    """The texts around each role's words: role → (before, after), and what stands at the beginning and where the assistant begins."""

    begin: str
    roles: Mapping[str, tuple[str, str]]
    prompt: str

    def render(self, messages: Sequence[Message]) -> str:
        """The conversation, up to where the assistant begins to speak."""
        turns = "".join(self.roles[each["role"]][0] + each["content"] + self.roles[each["role"]][1] for each in messages)
        return self.begin + turns + self.prompt

    def go(self) -> str:
        """The same as a template of Go, as Ollama takes it; the last answer, where one is begun, is left open."""
        system, user = (f"{_go(before)}{{{{ .Content }}}}{_go(after)}" for before, after in (self.roles["system"], self.roles["user"]))
        before, after = map(_go, self.roles["assistant"])
        assistant = f"{before}{{{{ .Content }}}}{{{{ if not $last }}}}{after}{{{{ end }}}}"
        return (
            f"{_go(self.begin)}{{{{ range $i, $_ := .Messages }}}}{{{{ $last := eq (len (slice $.Messages $i)) 1 }}}}"
            f'{{{{ if eq .Role "system" }}}}{system}{{{{ else if eq .Role "user" }}}}{user}'
            f'{{{{ else if eq .Role "assistant" }}}}{assistant}{{{{ end }}}}'
            f'{{{{ if and $last (ne .Role "assistant") }}}}{_go(self.prompt)}{{{{ end }}}}{{{{ end }}}}'
        )


def derive_turn_template(render: Render, *, default_system: bool, given: str = "") -> TurnTemplate | None:
    """The pieces of a chat template, or None where it is no row of such pieces.

    Args:
        render: the chat template.
        default_system: whether it adds a system prompt of its own where there is none.
        given: what the reader puts in front of every text by itself, and the template need not (the first token).
    """
    system, user = {"role": "system", "content": _SYSTEM}, {"role": "user", "content": _ASKED}
    answer, again = {"role": "assistant", "content": _ANSWERED}, {"role": "user", "content": _AGAIN}
    try:
        whole = render([system, user, answer, again], True)
        first, after_system, after_asked, after_answer, rest = _around(whole, _SYSTEM, _ASKED, _ANSWERED, _AGAIN)
        prompt = _without_front(whole, render([system, user, answer, again], False))
        user_after = _without_end(rest, prompt)
        assistant_before = _without_front(after_asked, user_after)
        assistant_after = render([system, user, answer], False).rpartition(_ANSWERED)[2]
        user_before = _without_front(after_answer, assistant_after)
        system_after = _without_end(after_system, user_before)
        begin = "" if default_system else _without_end(render([user], True).partition(_ASKED)[0], user_before)
        roles = {
            "system": (_without_front(first, begin), system_after),
            "user": (user_before, user_after),
            "assistant": (assistant_before, assistant_after),
        }
        if given and begin.startswith(given):
            begin = begin.removeprefix(given)
        elif given and roles["system"][0].startswith(given) and default_system:
            roles["system"] = (roles["system"][0].removeprefix(given), system_after)
        turns = TurnTemplate(begin, roles, prompt)
        trials = [[{"role": role, "content": text} for role, text in zip(_ROLES, texts, strict=False)] for texts in _TRIALS]
        trials += [] if default_system else [trial[1:] for trial in trials]
        return turns if all(turns.render(trial) == render(trial, True).removeprefix(given) for trial in trials) else None
    except Exception:  # a template may refuse anything, in any way; and one that writes other pieces has none
        return None


def _around(text: str, *marks: str) -> list[str]:
    pieces = []
    for mark in marks:
        piece, found, text = text.partition(mark)
        if not found:
            raise ValueError(f"{mark} is not shown")
        pieces.append(piece)
    return [*pieces, text]


def _without_front(text: str, front: str) -> str:
    if not text.startswith(front):
        raise ValueError("another beginning")
    return text[len(front) :]


def _without_end(text: str, end: str) -> str:
    if not text.endswith(end):
        raise ValueError("another end")
    return text[: len(text) - len(end)]


def _go(text: str) -> str:
    return text.replace("{{", '{{ "{{" }}')
