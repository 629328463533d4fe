"""How rows become samples, and all that determines the result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from swift_core.system import paths
from swift_train.tasks import GroupedEncoder, OwnTokenEncoder

if TYPE_CHECKING:
    from swift_core.contract import DataChoice
    from swift_train.tasks import Encoder
    from swift_train.tokenise import Tokeniser

_FORMAT = 6  # version of the stores and of the encoders' output; increment it when either changes


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """Preprocessing of rows to samples: the task's encoder, the maximum tokens per sample, the truncation, and the data options."""

    encoder: Encoder
    truncation: str
    max_length: int
    options: Mapping[str, Any]

    @property
    def grouped(self) -> bool:
        """True if the sequences of a row are one sample."""
        return isinstance(self.encoder, GroupedEncoder) and self.encoder.grouped

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the numbers that each sequence has beside its tokens."""
        return self.encoder.columns if isinstance(self.encoder, GroupedEncoder) else ()

    @property
    def next_token(self) -> bool:
        """True if the token after an output is supervised, not the output's own."""
        return not isinstance(self.encoder, OwnTokenEncoder)

    @property
    def facts(self) -> Mapping[str, Any]:
        """All that determines the samples of a row, by name, as JSON. The date that a chat template renders is apart from it."""
        settings = dict(self.encoder.settings)
        date = settings.pop("date", "")
        return {
            "format": _FORMAT, "tokenizer and chat template": _fingerprint(self.encoder.tokeniser), "task": paths.digest(settings),
            "truncation": self.truncation, "max_length": self.max_length, "date": date,
        }  # fmt: skip

    def key(self, choice: DataChoice) -> str:
        """Return the cache key of a data set's store; '' if its content is not known in advance."""
        if not choice.hash:
            return ""
        chosen = asdict(choice)
        chosen = {name: chosen[name] for name in ("factory", "version", "options", "limit", "columns", "hash")}
        settings = {"truncation": self.truncation, "max_length": self.max_length, "data": dict(self.options)}
        return paths.digest([_FORMAT, chosen, settings, dict(self.encoder.settings), _fingerprint(self.encoder.tokeniser)])[:32]


def _fingerprint(tokeniser: Tokeniser) -> str:
    """Hash the tokenizer and its chat template."""
    tokenizer: Any = tokeniser.tokenizer
    return paths.digest([tokenizer.backend_tokenizer.to_str(), str(tokenizer.chat_template), tokenizer.special_tokens_map])
