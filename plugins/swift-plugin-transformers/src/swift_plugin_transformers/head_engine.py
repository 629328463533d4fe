"""Engine of the embedded server for models with a head: vectors, classes and scores of texts, computed by a worker thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import torch
from swift_data.entities import OUTSIDE, Entity, entities
from swift_http import HeadRequest, LabelledText, Numbers
from swift_http.head_engine import HeadTask, TextItem
from swift_train.head_inputs import HeadInputs, ServedHead
from swift_train.head_outputs import activated
from swift_train.pair_texts import Pair
from torch import Tensor
from torch.nn.functional import cosine_similarity

from swift_core.contract import SwiftError, UsageError
from swift_plugin_transformers.generation import ServedModel
from swift_plugin_transformers.head_worker import HeadWorker, TextRequest
from swift_plugin_transformers.serve_options import ServeOptions
from swift_plugin_transformers.served_engine import ServedEngine

T = TypeVar("T")
R = TypeVar("R")


class EmbeddedHeadEngine(ServedEngine):
    """Serves a model with a head; an adapter has its own head, or that of the base.

    Args:
        served: the model.
        heads: the head of each served name; a base without a head of its own is not served.
        options: of the server.
    """

    worker: HeadWorker

    def __init__(self, served: ServedModel, heads: Mapping[str, ServedHead], options: ServeOptions) -> None:
        super().__init__(served, list(heads), options)
        self.context = min(self.context, served.tokenizer.model_max_length, *(head.limit for head in heads.values() if head.limit))
        self._heads = dict(heads)
        self._inputs = {name: HeadInputs(served.tokenizer, head) for name, head in heads.items()}
        self.worker = HeadWorker(served, options.batch)

    def tasks(self, model: str) -> set[HeadTask]:
        """Return what a model computes."""
        head = self._heads[model]
        if head.kind == "hidden":
            return {"embed", "score"}
        if head.kind == "token":
            return {"token_classify"}
        own: set[HeadTask] = set() if head.logit_score else {"classify"}
        scored = head.logit_score or len(head.facts.labels) <= 1
        return own | ({"score"} if scored and self._inputs[model].pairs else set())

    def labels(self, model: str) -> Sequence[str]:
        """Return the names of a classifier's numbers."""
        return self._heads[model].facts.labels

    async def embed(self, texts: Sequence[TextItem], asked: HeadRequest) -> Numbers:
        """Return the vector of each text."""
        found, tokens = await self._compute(await self._texts(texts, asked), asked)
        return _numbers(torch.stack(found), tokens)

    async def classify(self, texts: Sequence[TextItem], asked: HeadRequest) -> Numbers:
        """Return a number for each class of each text."""
        rows, tokens = await self._compute(await self._texts(texts, asked), asked)
        found = torch.stack(rows)
        return _numbers(activated(found, self._heads[asked.model]) if asked.activate else found, tokens)

    async def classify_tokens(self, texts: Sequence[str], asked: HeadRequest) -> tuple[Sequence[LabelledText], int]:
        """Return a number for each class of each word or token of each text."""
        inputs, head = self._inputs[asked.model], self._heads[asked.model]
        made = await asyncio.to_thread(self._locked, lambda items: [inputs.tokens(item) for item in items], texts)
        found, tokens = await self._compute([self._fitted(Pair(each.ids), asked) for each in made], asked)
        labelled = []
        for text, logits in zip(made, found, strict=True):
            places = [place for place in text.places if place[0] < len(logits)]  # of a text that was cut
            rows = logits[[token for token, _, _ in places]]
            numbers = activated(rows, head) if asked.activate else rows
            parts = [(start, stop) for _, start, stop in places]
            named = [Entity(*part, head.facts.labels[int(best)]) for part, best in zip(parts, rows.argmax(-1), strict=True)]
            joined = entities(named) if OUTSIDE in head.facts.labels else None
            labelled.append(LabelledText(parts, numbers.tolist(), joined))
        return labelled, tokens

    async def score(self, pairs: Sequence[tuple[str, str]], asked: HeadRequest) -> Numbers:
        """Return the score of each pair: of a head, or the cosine similarity of two vectors."""
        head = self._heads[asked.model]
        if head.kind == "hidden":
            return await self._similarities(pairs, asked)
        encode = self._inputs[asked.model].pairs
        assert encode
        limit = asked.truncate if asked.truncate is None or asked.truncate > 0 else self.context
        made = await asyncio.to_thread(self._locked, lambda items: encode.fitted(items, limit), pairs)
        rows, tokens = await self._compute([self._fitted(pair, asked) for pair in made], asked)
        found = torch.stack(rows)
        return _numbers(activated(found, head) if asked.activate else found, tokens)

    async def load_adapter(self, name: str, folder: Path, *, allow_other_base: bool = False) -> None:
        """Load an adapter, between two steps of the worker; errors as of `ServedEngine.load_adapter`."""
        known = name in self._heads
        if not known:
            self._heads[name] = ServedHead.of(folder, Path(self._served.base.path))
            self._inputs[name] = HeadInputs(self._tokenizer, self._heads[name])
        try:
            await super().load_adapter(name, folder, allow_other_base=allow_other_base)
        except BaseException:
            if not known:
                del self._heads[name], self._inputs[name]
            raise

    async def unload_adapter(self, name: str) -> None:
        """Unload an adapter; errors as of `ServedEngine.unload_adapter`."""
        await super().unload_adapter(name)
        del self._heads[name], self._inputs[name]

    async def _similarities(self, pairs: Sequence[tuple[str, str]], asked: HeadRequest) -> Numbers:
        sides = []
        for place, prompt in enumerate(("query", "document")):
            texts = list(dict.fromkeys(pair[place] for pair in pairs))
            own = HeadRequest(model=asked.model, truncate=asked.truncate, prompt=prompt)
            found, tokens = await self._compute(await self._texts(texts, own), own)
            sides.append((torch.stack(found)[[texts.index(pair[place]) for pair in pairs]], tokens))
        (queries, one), (documents, other) = sides
        return _numbers(cosine_similarity(queries, documents)[:, None], one + other)

    async def _texts(self, texts: Sequence[TextItem], asked: HeadRequest) -> list[Pair]:
        inputs = self._inputs[asked.model]
        made = await asyncio.to_thread(self._locked, lambda items: [inputs.text(item, asked.prompt) for item in items], texts)
        return [self._fitted(each, asked) for each in made]

    def _locked(self, encode: Callable[[Sequence[T]], list[R]], items: Sequence[T]) -> list[R]:
        with self._lock:
            return encode(items)

    def _fitted(self, text: Pair, asked: HeadRequest) -> Pair:
        """Return a text that fits: cut on the right if the request allows it.

        Raises:
            UsageError: the text is empty or too long.
        """
        if not text.ids:
            raise UsageError("the text is empty", code="MODEL-045", where="input")
        if asked.truncate is not None:
            text = text._replace(ids=text.ids[: self.context if asked.truncate == -1 else asked.truncate])
        if len(text.ids) > self.context:
            message = f"a text has {len(text.ids)} tokens, and the model's maximum is {self.context}"
            raise UsageError(message, code="MODEL-046", where="input", hint="Shorten it, or send truncate_prompt_tokens: -1.")
        self._served.check_prompt(text.ids)
        return text

    async def _compute(self, inputs: Sequence[Pair], asked: HeadRequest) -> tuple[list[Tensor], int]:
        """Return the numbers of each text, (numbers,) or of its tokens (tokens, numbers), and the number of all tokens."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()

        def done(error: BaseException | None) -> None:
            with suppress(RuntimeError):  # the event loop is closed: the server has stopped
                loop.call_soon_threadsafe(_resolve, ended, error)

        request = TextRequest(inputs=inputs, model=asked.model, head=self._heads[asked.model], done=done)
        self.worker.submit(request)
        try:
            await ended
        finally:
            request.cancelled.set()
        found = [request.found[place] for place in range(len(inputs))]
        if self._heads[asked.model].kind == "token":
            found = [numbers[: len(each.ids)] for numbers, each in zip(found, inputs, strict=True)]
        if not all(torch.isfinite(numbers).all() for numbers in found):
            raise SwiftError("the model's outputs are not finite", code="MODEL-047", hint="Serve it with --dtype float32.")
        return found, sum(len(each.ids) for each in inputs)


def _resolve(ended: asyncio.Future[None], error: BaseException | None) -> None:
    if ended.done():
        return
    if error is None:
        ended.set_result(None)
    else:
        ended.set_exception(error)


def _numbers(found: Tensor, tokens: int) -> Numbers:
    return Numbers(found.tolist(), tokens)
