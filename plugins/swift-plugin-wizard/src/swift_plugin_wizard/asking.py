"""The questions, asked with questionary in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from swift_core.contract import Stopped, UsageError


class Asker:
    """Asks questions. Without a terminal, a question is an error that names the flag that answers it."""

    def choose(self, question: str, choices: Sequence[tuple[str, str]], *, flag: str, default: str) -> str:
        """Let the user choose one of (value, title).

        Raises:
            UsageError: there is no terminal.
            Stopped: Ctrl-C.
        """
        questionary = self._terminal(flag)
        listed = [questionary.Choice(title, value=value) for value, title in choices]
        return str(self._answer(questionary.select(question, choices=listed, default=default)))

    def text(self, question: str, *, flag: str, default: str, check: Any = None) -> str:
        """Let the user type a text. `check` returns True, or what is wrong. Raises as `choose` does."""
        questionary = self._terminal(flag)
        return str(self._answer(questionary.text(question, default=default, validate=check or (lambda _: True))))

    def confirm(self, question: str, *, flag: str) -> bool:
        """Let the user say yes or no; yes is the default. Raises as `choose` does."""
        return bool(self._answer(self._terminal(flag).confirm(question, default=True)))

    def _terminal(self, flag: str) -> Any:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            hint = "Without a terminal: swift wizard --goal answer --model MODEL --data FILE --time minutes --output sft.yaml --no-start"
            raise UsageError(f"the wizard asks questions in a terminal; {flag} would answer this one", code="WIZARD-001", hint=hint)
        import questionary

        return questionary

    def _answer(self, question: Any) -> Any:
        try:
            return question.unsafe_ask()
        except KeyboardInterrupt:
            raise Stopped("stopped", code="WIZARD-002") from None
