"""Options of a task of own rows: on the command line for every task, or in a task's YAML file."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, field_validator

from swift_core.options import Options, Several, listed, names, option
from swift_evaluate.regular_expression import check_regular_expression


def _metrics(value: Any) -> list[Any]:
    """Return the metrics of `[exact, f1]`, `exact,f1`, or `{name: …}` as YAML or JSON on the command line."""
    import yaml

    found: list[Any] = []
    for entry in names(value):
        try:
            found += listed(yaml.safe_load(entry)) if isinstance(entry, str) and entry.lstrip().startswith(("{", "[")) else [entry]
        except yaml.YAMLError:
            raise ValueError(f"{entry!r} is no metric: neither a name nor YAML") from None
    return found


Metrics = Annotated[list[Any], BeforeValidator(_metrics)]


class RowsEvaluatorOptions(Options):
    """Options for asking questions and scoring the answers."""

    prompt: str = option("", "Template of the prompt, such as 'Q: {question}\\nA:'; names in braces are fields of the row.")
    system: str = option("", "System prompt.")
    expected: str = option("", "Field with the expected answer, or a template; default: the usual names, such as 'answer'.")
    metrics: Metrics = option(list, "Metrics, each a name or {name: …, option: …}; default: choice for multiple choice, else exact.")
    answer_by: Literal["generation", "letter-likelihood", "text-likelihood"] = option(
        "generation", "Multiple choice: generate the answer, or compare the log-likelihoods of the letters or of the texts of the choices."
    )
    few_shot_data: str = option("", "File with the rows of the examples in the prompt.")
    few_shot: int = option(0, "Number of examples in the prompt; --few-shot takes precedence.", ge=0)
    cluster: str = option("", "Field of what rows belong to that are not independent; default: cluster, passage, subject or category.")
    thinking: Literal["strip", "keep"] = option("strip", "Remove the model's thinking before the answer is scored, or keep it.")
    extract: str = option("", "Regular expression; its first group (or the whole match) in its last match is the answer that is scored.")
    stop: Several = option(list, "Texts that end the answer.")
    max_tokens: int = option(1024, "Maximum tokens of an answer; --max-tokens takes precedence.", ge=1)
    samples: int = option(1, "Answers per question; --samples takes precedence.", ge=1)
    temperature: float = option(0.0, "Sampling temperature; --temperature takes precedence.", ge=0)

    _compiles = field_validator("extract")(check_regular_expression)

    def chosen(self) -> dict[str, Any]:
        """Return the options that differ from their defaults."""
        return {name: value for name, value in self.model_dump().items() if value != type(self)().model_dump()[name]}


class TaskFile(RowsEvaluatorOptions):
    """A task in a YAML file."""

    data: str = option(..., "File or folder with the rows, relative to the YAML file.")
