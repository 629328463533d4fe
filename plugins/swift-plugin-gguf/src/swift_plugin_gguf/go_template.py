"""Conversion of a Jinja chat template to a Go template, if every turn is a fixed prefix and suffix around the content.

The source of the template is not parsed: the prefixes and suffixes are taken from renderings of probe conversations, and the result is
accepted only if it renders further conversations exactly as the template does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Message = Mapping[str, str]
Render = Callable[[Sequence[Message], bool], str]  # (messages, add_generation_prompt)

_SYSTEM, _ASKED, _ANSWERED, _AGAIN = "∎system∎", "∎asked∎", "∎answered∎", "∎again∎"
_ROLES = ("system", "user", "assistant", "user", "assistant", "user")
_TRIALS = (("Be brief.", "Hi"), ("Be brief.", "Hi", "Hello.", "Tell me\n\nmore: {{ x }}", "No.", "?"))


@dataclass(frozen=True, slots=True)
class TurnTemplate:
    """A chat template of plain turns.

    `roles` maps a role to the text (before, after) its content, `begin` starts a conversation, `prompt` is the generation prompt.
    """

    begin: str
    roles: Mapping[str, tuple[str, str]]
    prompt: str

    def render(self, messages: Sequence[Message]) -> str:
        """Return the conversation with the generation prompt."""
        turns = "".join(self.roles[each["role"]][0] + each["content"] + self.roles[each["role"]][1] for each in messages)
        return self.begin + turns + self.prompt

    def go(self) -> str:
        """Return the Go template for Ollama; a response that ends the conversation is left open."""
        system, user = (
            f"{_escape(before)}{{{{ .Content }}}}{_escape(after)}" for before, after in (self.roles["system"], self.roles["user"])
        )
        before, after = map(_escape, self.roles["assistant"])
        assistant = f"{before}{{{{ .Content }}}}{{{{ if not $last }}}}{after}{{{{ end }}}}"
        return (
            f"{_escape(self.begin)}{{{{ range $i, $_ := .Messages }}}}{{{{ $last := eq (len (slice $.Messages $i)) 1 }}}}"
            f'{{{{ if eq .Role "system" }}}}{system}{{{{ else if eq .Role "user" }}}}{user}'
            f'{{{{ else if eq .Role "assistant" }}}}{assistant}{{{{ end }}}}'
            f'{{{{ if and $last (ne .Role "assistant") }}}}{_escape(self.prompt)}{{{{ end }}}}{{{{ end }}}}'
        )


def derive_turn_template(render: Render, *, default_system: bool, bos: str = "") -> TurnTemplate | None:
    """Return a chat template as a turn template, or None if it is not made of plain turns.

    Args:
        render: renders a conversation: (messages, add_generation_prompt) -> text.
        default_system: True if the template adds a default system prompt.
        bos: the token that the reader adds to every prompt, so that the Go template must not; empty if it adds none.
    """
    system, user = {"role": "system", "content": _SYSTEM}, {"role": "user", "content": _ASKED}
    answer, again = {"role": "assistant", "content": _ANSWERED}, {"role": "user", "content": _AGAIN}
    try:
        whole = render([system, user, answer, again], True)
        first, after_system, after_asked, after_answer, rest = _split_at(whole, _SYSTEM, _ASKED, _ANSWERED, _AGAIN)
        prompt = _without_prefix(whole, render([system, user, answer, again], False))
        user_after = _without_suffix(rest, prompt)
        assistant_before = _without_prefix(after_asked, user_after)
        assistant_after = render([system, user, answer], False).rpartition(_ANSWERED)[2]
        user_before = _without_prefix(after_answer, assistant_after)
        system_after = _without_suffix(after_system, user_before)
        begin = "" if default_system else _without_suffix(render([user], True).partition(_ASKED)[0], user_before)
        roles = {
            "system": (_without_prefix(first, begin), system_after),
            "user": (user_before, user_after),
            "assistant": (assistant_before, assistant_after),
        }
        if bos and begin.startswith(bos):
            begin = begin.removeprefix(bos)
        elif bos and roles["system"][0].startswith(bos) and default_system:
            roles["system"] = (roles["system"][0].removeprefix(bos), system_after)
        turns = TurnTemplate(begin, roles, prompt)
        trials = [[{"role": role, "content": text} for role, text in zip(_ROLES, texts, strict=False)] for texts in _TRIALS]
        trials += [] if default_system else [trial[1:] for trial in trials]
        return turns if all(turns.render(trial) == render(trial, True).removeprefix(bos) for trial in trials) else None
    except Exception:  # a template may raise anything, and one of another structure fails in the helpers below
        return None


def _split_at(text: str, *marks: str) -> list[str]:
    pieces = []
    for mark in marks:
        piece, found, text = text.partition(mark)
        if not found:
            raise ValueError(f"{mark} is not rendered")
        pieces.append(piece)
    return [*pieces, text]


def _without_prefix(text: str, prefix: str) -> str:
    if not text.startswith(prefix):
        raise ValueError("unexpected prefix")
    return text[len(prefix) :]


def _without_suffix(text: str, suffix: str) -> str:
    if not text.endswith(suffix):
        raise ValueError("unexpected suffix")
    return text[: len(text) - len(suffix)]


def _escape(text: str) -> str:
    return text.replace("{{", '{{ "{{" }}')
