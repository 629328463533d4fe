"""Options of lm-eval as an evaluator."""

from __future__ import annotations

from swift_core.options import Names, Options, option


class LmEvalOptions(Options):
    """Options of the evaluator `lm-eval`."""

    include: Names = option(list, "Folders with task files (YAML) of one's own.", also=("include_path",))
    system: str = option("", "System message of tasks that generate text.", also=("system_instruction",))
