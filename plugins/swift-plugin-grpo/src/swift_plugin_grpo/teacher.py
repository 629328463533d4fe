"""The teacher of a distillation: a server that says how likely each token of an answer is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from swift_rollouts.server import prepare as prepare_server
from swift_rollouts.threads import in_threads
from swift_serve.client import Client

from swift_core.checkpoints import Fetcher
from swift_core.contract import Server, SwiftError, UsageError

if TYPE_CHECKING:
    from swift_rollouts.generation import Answer, Group
    from swift_train.samples import Samples

    from swift_core.runs import Draft
    from swift_plugin_grpo.teacher_options import TeacherOptions

_AT_ONCE = 8  # requests


class Teacher:
    """Scores answers, token ids in and log-probabilities out: `POST /completions` with `echo`.

    Args:
        options: of the task.
    """

    def __init__(self, options: TeacherOptions) -> None:
        self._options = options

    def score(self, groups: Sequence[Group]) -> None:
        """Set the teacher's log-probability of each token of the answers.

        Raises:
            UsageError: the teacher has another tokenizer, or does not return log-probabilities of a prompt.
            SwiftError: the server failed.
        """
        given = [(group, answer) for group in groups for answer in group.answers if not answer.teacher]
        for place, values in in_threads(lambda each: self._log_probabilities(*each), given, _AT_ONCE):
            given[place][1].teacher = values

    def _log_probabilities(self, group: Group, answer: Answer) -> list[float]:
        ids = [*group.ids, *answer.ids]
        body = {
            "model": self._name,
            "prompt": ids,
            "max_tokens": 0,
            "echo": True,
            "logprobs": 0,
            "temperature": 1.0,
            "return_token_ids": True,
        }
        try:
            (choice,) = self._client.post("/completions", body)["choices"]
            values = [float(value) for value in choice["logprobs"]["token_logprobs"][len(group.ids) :]]
        except (KeyError, TypeError, ValueError):
            values = []
        if len(values) != len(answer.ids):
            raise self._wrong("does not return a log-probability for each token of a prompt (echo)")
        return values

    @cached_property
    def _client(self) -> Client:
        name = self._options.teacher_name
        return Client(Server(self._options.teacher_server, (name,) if name else (), os.environ.get(self._options.teacher_api_key_env)))

    @cached_property
    def _name(self) -> str:
        return self._client.model

    def _wrong(self, what: str) -> SwiftError:
        hint = "Serve the teacher with swift serve; its tokenizer must be that of the student."
        return UsageError(f"the teacher's server {what}", code="RL-027", where=self._options.teacher_server, hint=hint)


def check_teacher(options: TeacherOptions, *prompts: Samples | None) -> None:
    """Check that a teacher's server can score the answers to prompts, by the token ids of which it is asked.

    Raises:
        UsageError: a prompt has media.
    """
    for samples in prompts if options.teacher_server else ():
        if samples is not None and samples.media_counts.any():
            raise UsageError(
                "a row has media, which the teacher's server is not sent",
                code="RL-046",
                where=samples.origin(int(samples.media_counts.argmax())),
                hint="Give the teacher as a checkpoint: --teacher-model CHECKPOINT.",
            )


def prepare(draft: Draft) -> None:
    """Check that there is a teacher, fetch it, and choose the engine of the student (`TaskSpec.prepare`)."""
    options: Any = draft.parts["task"].options
    if not options["teacher_model"] and "://" not in options["teacher_server"]:
        hint = "Give a checkpoint, --teacher-model TEACHER; or serve it, and give its URL: --teacher-server http://127.0.0.1:8000/v1."
        raise UsageError("no teacher given", code="RL-028", where="teacher_model", hint=hint)
    prepare_with_teacher(draft)


def prepare_with_teacher(draft: Draft) -> None:
    """Fetch the teacher, if there is one, and choose the engine of the student (`TaskSpec.prepare`)."""
    choice = draft.parts["task"]
    options: Any = choice.options
    if options["teacher_model"]:
        trusted = tuple(draft.options.get("trust_remote_code", ()))
        fetcher = Fetcher(
            draft.known, loader=draft.parts.get("loader"), hub=draft.options["hub"], trusted=trusted, progress=draft.progress
        )  # fmt: skip
        source = fetcher.source(options["teacher_model"], "teacher_model")
        draft.parts["task"] = replace(choice, options={**options, "teacher_model": source.path})
        draft.notes += fetcher.notes
    prepare_server(draft)
