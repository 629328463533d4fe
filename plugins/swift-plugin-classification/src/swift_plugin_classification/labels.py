"""Labels of rows as columns of numbers, and their encoder."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from swift_data.rows import ChatRow, LabelRow, normalise
from swift_train.score_task import ConversationEncoder

from swift_core.contract import UsageError

if TYPE_CHECKING:
    from swift_train.media.rows import RowMedia
    from swift_train.tokenise import Encoded, SupervisedText
    from transformers import PreTrainedTokenizerBase

    from swift_core.contract import RawRow
    from swift_plugin_classification.label_options import LabelOptions
    from swift_plugin_classification.options import ProblemType, SequenceClassificationOptions


class LabelledEncoder(ConversationEncoder):
    """Encode a label row: the conversation, and its label as columns: the class, or a target of each class."""

    rows, grouped = "label", False

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, options: SequenceClassificationOptions, stops: Sequence[str], media: RowMedia | None
    ) -> None:
        super().__init__(tokenizer, options, stops, media, plain=not options.use_chat_template)
        self._one_text = not options.use_chat_template
        self._problem_type, self._num_labels = options.problem_type, options.num_labels
        self.settings = {
            **self.settings,
            "problem_type": self._problem_type,
            "num_labels": self._num_labels,
            "names": list(options.label_names),
        }
        self.columns = column_names(self._problem_type, self._num_labels)
        self._numbers = {name: number for number, name in enumerate(options.label_names)}

    def texts(self, raw: RawRow) -> list[SupervisedText]:
        """Return the text of the conversation."""
        row = normalise(raw, ("label",), media_folder=self.media)
        assert isinstance(row, LabelRow)
        if self._one_text and len(row.messages) != 1:
            message = f"it has {len(row.messages)} messages: without the chat template, a row must be a single text"
            hint = "Omit --use-chat-template false, or use rows of one message."
            raise UsageError(message, code="DATA-163", where=f"{raw.file}, row {raw.number}", hint=hint)
        found = _columns(row, raw, self._problem_type, self._num_labels, self._numbers)
        chat = ChatRow(row.messages, row.tools, variables=row.variables, unread=row.unread)
        self.unread.add(chat)
        return [self.text(chat, found)]

    def check(self, raw: RawRow, sequences: Sequence[Encoded]) -> None:
        """Check that the sequence is scored at its last token."""
        self.check_scored(sequences)


def _columns(row: LabelRow, raw: RawRow, problem_type: ProblemType, num_labels: int, numbers: Mapping[str, int]) -> tuple[float, ...]:
    """Return the columns of a row, whose label may have the names of classes. Raises UsageError if it has another form."""
    try:
        return targets(_numbered(row.label, numbers), problem_type, num_labels)
    except (TypeError, ValueError):
        raise UsageError(
            f"the label is {row.label!r}; {problem_type} needs {_NEEDS[problem_type].format(num_labels)}",
            code="DATA-159",
            where=f"{raw.file}, row {raw.number}",
            hint="Correct it, or set --num-labels or --problem-type.",
        ) from None


def _numbered(label: Any, numbers: Mapping[str, int]) -> Any:
    """Return a label with the numbers of classes in place of their names."""
    if isinstance(label, list):
        return [_numbered(each, numbers) for each in label]
    return numbers.get(label, label) if isinstance(label, str) else label


_NEEDS = {
    "single_label_classification": "the number of a class, below {}",
    "multi_label_classification": "a list of numbers of classes, below {}",
    "regression": "{} number(s)",
}


def without_rows(seen: Collection[int], options: LabelOptions) -> list[str]:
    """Return a warning that names the classes without rows; none if all have some."""
    names = options.label_names or [str(number) for number in range(options.num_labels)]
    missing = [name for number, name in enumerate(names) if number not in seen]
    if len(seen) == 1:
        return [f"all rows are of the class {names[next(iter(seen))]}: nothing tells it from another one"]
    return [f"no row is of the class {', '.join(missing[:8])}{', …' if len(missing) > 8 else ''}"] if missing else []


def column_names(problem_type: ProblemType, num_labels: int) -> tuple[str, ...]:
    """Return the names of the columns: one for a class, or one for each target."""
    if problem_type == "single_label_classification":
        return ("label",)
    return tuple(f"label_{number}" for number in range(num_labels))


def targets(label: Any, problem_type: ProblemType, num_labels: int) -> tuple[float, ...]:
    """Return the numbers of the columns. Raises TypeError or ValueError if the label has another form."""
    if problem_type == "regression":
        numbers = tuple(float(value) for value in (label if isinstance(label, list) else [label]))
        if len(numbers) != num_labels:
            raise ValueError(label)
        return numbers
    if problem_type == "single_label_classification":
        return (float(_class(label, num_labels)),)
    if not isinstance(label, list):
        raise TypeError(label)
    classes = {_class(value, num_labels) for value in label}
    return tuple(float(number in classes) for number in range(num_labels))


def _class(value: Any, num_labels: int) -> int:
    number = int(value)
    if number != float(value) or not 0 <= number < num_labels:
        raise ValueError(value)
    return number
