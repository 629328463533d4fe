"""An active request of the batcher: its tokens, its cache, and the choice of its next tokens from logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from swift_http import Piece, Token
from torch import Tensor

from swift_plugin_transformers.detokenizer import Writer, token_of, token_text
from swift_plugin_transformers.generation import Request, ServedModel
from swift_plugin_transformers.speculation import Speculation
from swift_plugin_transformers.varlen import SequenceCache


class ActiveSequence:
    """An active request.

    Args:
        request: the request.
        cache: its key-value cache.
        served: the model.
        processors: the request's logits processors.
        sample: sample tokens; otherwise the most likely one is chosen.
        speculation: drafts tokens for it; None: no speculative decoding.

    Attributes:
        tokens: those of prompt and completion; the ones beyond `cache.length` are still to be computed.
    """

    def __init__(
        self,
        request: Request,
        cache: SequenceCache,
        served: ServedModel,
        processors: Any,
        *,
        sample: bool,
        speculation: Speculation | None = None,
    ) -> None:
        self.request = request
        self.cache = cache
        self.tokens = list(request.prompt)
        self._tokenizer = served.tokenizer
        self._writer = Writer(served.tokenizer, served.eos_for(request.sampling), request.sampling, request.put)
        self._processors = processors
        self._speculation = speculation
        self._processed_logprobs = served.processed_logprobs
        self._generator: torch.Generator | None = None
        if sample:
            self._generator = torch.Generator(served.device)
            if request.sampling.seed is None:
                self._generator.seed()
            else:
                self._generator.manual_seed(request.sampling.seed)

    @property
    def finished(self) -> bool:
        """True if the sequence is complete."""
        if self.request.score is not None:
            return self.cache.length >= len(self.tokens)
        return self._writer.ended or len(self.tokens) >= self.cache.capacity

    def next_tokens(self, limit: int, *, draft: bool) -> tuple[list[int], list[int]]:
        """Return up to `limit` tokens of the next pass, and the drafts that follow them, if `draft` and the prompt is done."""
        pending = self.tokens[self.cache.length :][:limit]
        speculates = draft and self._speculation and self.request.score is None and len(self.tokens) - self.cache.length == 1
        room = min(limit, self.cache.capacity - self.cache.length) - len(pending)
        return pending, self._speculation.draft(self.tokens, room) if speculates and self._speculation and room > 0 else []

    def advance(self, logits: Tensor, drafts: Sequence[int] = ()) -> None:
        """Score the prompt, or choose the next tokens.

        Args:
            logits: of the last pass, (positions, vocabulary): of all its tokens for a score, otherwise of the last pending token and of
                each draft.
            drafts: the drafts of the last pass. Those behind the first that is not chosen are dropped.
        """
        if self.request.score is not None:
            self._put_scores(logits)
        elif self.cache.length >= len(self.tokens):
            for row, draft in zip(logits, [*drafts, None], strict=True):
                processed = self._process(row.float())
                token = self._choose(processed)
                self.tokens.append(token)
                self._writer.token(token, processed if self._processed_logprobs else row)
                if token != draft or self.finished:
                    break
            if self._speculation and drafts:
                accepted = len(self.tokens) - 1 - (self.cache.length - len(drafts))
                self._speculation.observe(len(drafts), accepted)
            self.cache.length = len(self.tokens) - 1

    def finish(self) -> None:
        """Put the last piece."""
        if self.request.score is None:
            self._writer.finish()

    def _put_scores(self, logits: Tensor) -> None:
        start = self.cache.length - len(logits)
        first = [Token(self.tokens[0], token_text(self._tokenizer, self.tokens[0]))] if start == 0 else []
        following = self.tokens[start + 1 : self.cache.length + 1]
        scored = [token_of(self._tokenizer, token, row, self.request.score or 0) for token, row in zip(following, logits, strict=False)]
        self.request.put(Piece("", (*first, *scored)))

    def _process(self, logits: Tensor) -> Tensor:
        if not self._processors:
            return logits
        processed: Tensor = self._processors(torch.tensor([self.tokens], device=logits.device), logits[None])[0]
        return processed

    def _choose(self, logits: Tensor) -> int:
        if self._generator is None:
            return int(logits.argmax())
        return int(torch.multinomial(logits.softmax(-1), 1, generator=self._generator))
