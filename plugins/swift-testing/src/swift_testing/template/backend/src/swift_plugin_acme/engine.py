"""The engine behind swift-http (see `swift_http.ChatEngine`): token ids in, tokens out. Replace the model with your own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import torch
from swift_http import Piece, Sampling, Token
from transformers import AutoModelForCausalLM, AutoTokenizer

from swift_core.contract import UsageError

UNSUPPORTED = ("top_p", "top_k", "min_p", "repetition_penalty", "schema")  # refused, not silently ignored


class AcmeEngine:
    """One model, one request at a time, with a key-value cache."""

    def __init__(self, checkpoint: str, name: str, context: int) -> None:
        self.models = [name]
        self.model: Any = AutoModelForCausalLM.from_pretrained(checkpoint, use_safetensors=True)  # in evaluation mode
        self.tokenizer: Any = AutoTokenizer.from_pretrained(checkpoint)
        self.context = min(context, self.model.config.max_position_embeddings)
        ends = self.model.generation_config.eos_token_id
        self.ends = {self.tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])}
        self._turn = asyncio.Lock()

    def render(
        self, messages: Sequence[Mapping[str, Any]], *, tools: Sequence[Mapping[str, Any]] = (), generation_prompt: bool = True
    ) -> list[int]:
        """Return the token ids of a conversation, rendered with the checkpoint's chat template."""
        try:
            ids: list[int] = self.tokenizer.apply_chat_template(
                list(messages), tools=list(tools) or None, add_generation_prompt=generation_prompt, return_dict=False
            )
        except Exception as error:  # a template may raise any exception
            raise UsageError(f"the model's chat template rejects these messages: {error}", where="messages") from None
        return ids

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """Return the token ids of a text; `special` adds the tokenizer's special tokens."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=special)
        return ids

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of token ids."""
        return str(self.tokenizer.decode(list(tokens)))

    async def generate(self, prompt: Sequence[int], sampling: Sampling, *, model: str) -> AsyncIterator[Piece]:
        """Yield one token at a time: the most likely one, or a sample if a temperature is given."""
        for name in UNSUPPORTED:
            if getattr(sampling, name) not in (None, 1, 1.0, 0, 0.0):
                raise UsageError(f"this engine does not support {name}", where=name, hint="Remove it from the request.")
        random = torch.Generator().manual_seed(sampling.seed or 0)
        limit = sampling.max_tokens or self.context - len(prompt)
        inputs, cache, generated, text = torch.tensor([list(prompt)]), None, [], ""
        async with self._turn:
            for number in range(1, limit + 1):
                logits, cache = await asyncio.to_thread(self._step, inputs, cache)
                token = self._token(_choose(logits, sampling.temperature or 0, random), logits, sampling.logprobs)
                if token.id in self.ends:
                    yield Piece("", (token,), "stop")
                    return
                generated.append(token.id)
                whole = str(self.tokenizer.decode(generated, skip_special_tokens=True))
                more = "" if whole.endswith("\ufffd") and number < limit else whole[len(text) :]  # a character may take several tokens
                text += more
                yield Piece(more, (token,), "length" if number == limit else None)
                inputs = torch.tensor([[token.id]])

    async def score(self, prompt: Sequence[int], *, model: str, top: int) -> list[Token]:
        """Return each token of the prompt with its log-probability given the tokens before it."""
        async with self._turn:
            output = await asyncio.to_thread(self._forward, torch.tensor([list(prompt)]))
        first = Token(prompt[0], self.decode(prompt[:1]))
        return [first, *(self._token(token, logits, top) for token, logits in zip(prompt[1:], output.logits[0], strict=False))]

    def _step(self, inputs: torch.Tensor, cache: Any) -> tuple[torch.Tensor, Any]:
        output = self._forward(inputs, past_key_values=cache, use_cache=True)
        return output.logits[0, -1], output.past_key_values

    @torch.inference_mode()
    def _forward(self, inputs: torch.Tensor, **arguments: Any) -> Any:
        return self.model(input_ids=inputs, **arguments)

    def _token(self, token: int, logits: torch.Tensor, top: int | None) -> Token:
        if top is None:
            return Token(token, self.decode([token]))
        logprobs = logits.float().log_softmax(-1)
        best: Any = logprobs.topk(top) if top else ([], [])
        likely = tuple((self.decode([int(index)]), float(value)) for value, index in zip(*best, strict=True))
        return Token(token, self.decode([token]), float(logprobs[token]), likely)


def _choose(logits: torch.Tensor, temperature: float, random: torch.Generator) -> int:
    if not temperature:
        return int(logits.argmax())
    return int(torch.multinomial((logits.float() / temperature).softmax(-1), 1, generator=random))
