"""Command lines of shell scripts: continuations, variables, arrays and environment prefixes. Nothing is executed."""

from __future__ import annotations

import operator
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from swift_plugin_import.keys import scalar

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_ARRAY = re.compile(r"^\s*(?:export\s+|declare\s+-a\s+|local\s+)?([A-Za-z_]\w*)\+?=\((.*?)\)\s*$", re.DOTALL | re.MULTILINE)
_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?:\[[@*]\])?(?::?-([^}]*))?\})")
_HEREDOC = re.compile(r"<<-?\s*['\"]?(\w+)['\"]?[^\n]*\n.*?^\s*\1\s*$", re.DOTALL | re.MULTILINE)
_SPACE, _OPEN, _CLOSE = "\ue000", "\ue001", "\ue002"  # keep a substitution in one word
_SUBSTITUTION = re.compile(r"\$\(\(?\s*(?:expr\s+)?([^()]*)\)\)?")
_OPERATIONS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.floordiv}
_COMMENT = re.compile(r"""('[^']*'|"(?:\\.|[^"\\])*"|\\.)|(?<![^\s;&|<>()])#[^\n]*""", re.DOTALL)  # or what is quoted
_SEPARATORS = frozenset({";", "&&", "||", "|", "&", ";;", "(", ")"})
_FLAG = re.compile(r"--?[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Command:
    """A command line: its words, and the environment variables in front of it and exported before it."""

    words: list[str]
    variables: Mapping[str, str] = field(default_factory=dict)

    def flags(self, start: int = 1) -> dict[str, Any]:
        """Return the flags from a word on: `--name value`, `--name=value`, `--name a b` as a list, `--name` alone as True."""
        found: dict[str, Any] = {}
        name = ""
        for word in self.words[start:]:
            if _FLAG.match(word):
                name, equals, value = word.lstrip("-").partition("=")
                name = name.replace("-", "_")
                found[name] = [value] if equals else []
            elif name:
                found[name].append(word)
        return {key: scalar(value[0]) if len(value) == 1 else scalar(value) if value else True for key, value in found.items()}

    def positional(self, start: int) -> list[str]:
        """Return the words before the first flag, from a word on."""
        words = self.words[start:]
        return words[: next((at for at, word in enumerate(words) if _FLAG.match(word)), len(words))]


def commands(text: str) -> list[Command]:
    """Return the command lines of a shell script, with its variables replaced."""
    text = _HEREDOC.sub("", re.sub(r"\\[ \t]*\r?\n", " ", text.replace("\r\n", "\n")))
    text = _SUBSTITUTION.sub(lambda match: match[0].replace(" ", _SPACE).replace("(", _OPEN).replace(")", _CLOSE), text)
    variables: dict[str, str] = {}
    for name, items in _ARRAY.findall(text):
        lines = (line.partition(" #")[0] for line in items.splitlines() if not line.lstrip().startswith("#"))
        variables[name] = f"{variables.get(name, '')} {' '.join(lines)}".strip()
    found: list[Command] = []
    for words in _lines(_ARRAY.sub("", text)):
        command = _command(words, variables)
        if command:
            found.append(command)
    return found


def _command(words: list[str], variables: dict[str, str]) -> Command | None:
    """Return the command of the words; an assignment alone is kept in `variables` instead."""
    words = words[1:] if words[0] in ("export", "set", "then", "do", "$") else words
    own: dict[str, str] = {}
    while words and (match := _ASSIGNMENT.fullmatch(words[0])):
        own[match[1]] = " ".join(_expand(match[2], variables))
        words = words[1:]
    if not words:
        variables.update(own)
        return None
    return Command([piece for word in words for piece in _expand(word, {**variables, **own})], {**variables, **own})


def _expand(word: str, variables: Mapping[str, str]) -> list[str]:
    """Return a word with its variables replaced; a word that is one variable with several flags becomes several words."""
    word = word.replace(_SPACE, " ").replace(_OPEN, "(").replace(_CLOSE, ")")
    value = _VARIABLE.sub(lambda match: variables.get(match[1] or match[2], match[3] if match[3] is not None else match[0]), word)
    if number := _SUBSTITUTION.fullmatch(value):
        return [_arithmetic(number[1], value)]
    if value == word or not _VARIABLE.fullmatch(word) or not value.lstrip().startswith("-"):
        return [value]
    try:
        return [piece for part in shlex.split(value) for piece in _expand(part, variables)]
    except ValueError:
        return [value]


def _arithmetic(expression: str, otherwise: str) -> str:
    """Return the value of an expression of integers; `otherwise` if it is none, or a command."""
    words = re.findall(r"\d+|[-+*/]|\S", expression)
    if len(words) % 2 == 0 or not all(word.isdecimal() for word in words[::2]) or not set(words[1::2]) <= _OPERATIONS.keys():
        return otherwise
    value = int(words[0])
    for sign, number in zip(words[1::2], words[2::2], strict=True):
        value = _OPERATIONS[sign](value, int(number) or 1)
    return str(value)


def _lines(text: str) -> Iterator[list[str]]:
    """Yield the words of each simple command; a line whose quotes are open is continued by the next one."""
    pending = ""
    for line in text.splitlines():
        pending = f"{pending}\n{line}" if pending else line
        try:
            words = _words(pending)
        except ValueError:
            if pending.count("\n") < 50:
                continue
            words = []
        pending = ""
        current: list[str] = []
        for word in [*words, ";"]:
            if word not in _SEPARATORS:
                current.append(word)
            elif current:
                yield _without_redirections(current)
                current = []


def _words(line: str) -> list[str]:
    text = _COMMENT.sub(lambda match: match[1] or "", line)  # a # within a word is none, as in name#500, which shlex does not know
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";&|<>")
    lexer.whitespace_split = True
    lexer.commenters = ""
    return list(lexer)


def _without_redirections(words: list[str]) -> list[str]:
    at = next((at for at, word in enumerate(words) if set(word) <= {"<", ">", "&"} and word), len(words))
    return words[: at - 1] if at < len(words) and at > 1 and words[at - 1] in ("1", "2") else words[:at] or words[:1]
