"""Options of a teacher: a checkpoint, or a server."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from swift_core.options import Options, option


class TeacherOptions(Options):
    """Options of tasks that may have a teacher."""

    teacher_model: str = option(
        "",
        "Teacher, a checkpoint with the student's tokenizer, which each process loads.",
        also=("teacher", "teacher_model_name_or_path"),
    )
    teacher_server: str = option(
        "",
        "URL of the teacher's server instead, ending in /v1: it is asked for the log-probabilities of the sampled tokens.",
        also=("teacher_model_server",),
    )
    teacher_name: str = option("", "Name of the teacher on its server; default: its first model.", also=("teacher_model_name",))
    teacher_api_key_env: str = option("SWIFT_TEACHER_API_KEY", "Environment variable with the API key of the teacher's server.")

    @property
    def has_teacher(self) -> bool:
        """Whether there is a teacher."""
        return bool(self.teacher_model or self.teacher_server)

    @model_validator(mode="after")
    def _one_teacher(self) -> Self:
        if self.teacher_model and self.teacher_server:
            raise ValueError("teacher_model and teacher_server exclude each other: give one teacher")
        return self
