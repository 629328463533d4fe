"""Sample the groups of a generation: ask for answers, score them, and replace groups from which nothing can be learned.

Groups are appended to `generation-N.partial.jsonl` as they arrive, so that a run that is killed, or whose rewards fail, keeps them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from swift_rollouts.generation import Answer, Generation, Group
from swift_rollouts.threads import in_threads

if TYPE_CHECKING:
    from swift_train.samples import Samples

Progress = Callable[[int, int], None]
Score = Callable[[Sequence[Group]], None]
Answers = Callable[..., list[Answer]]
_SEEDS = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSampler:
    """Samples generations in the process that writes.

    Attributes:
        file: returns the file of a generation.
        chosen: returns the prompts of a generation.
        prompts: with their token ids.
        answers: returns answers to a prompt: (index, token ids, count, model=, seed=).
        count: answers per prompt.
        seed: of the run.
        concurrency: maximum prompts that are answered at the same time.
        digest: of what determines the answers.
        score: sets the rewards of the answers of groups; None: there are none.
        names: of the rewards.
        rounds: maximum rounds of replacing groups without spread; 0: none.
        spread: whether something can be learned from a group.
    """

    file: Callable[[int], Path]
    chosen: Callable[[int], Sequence[int]]
    prompts: Samples
    answers: Answers
    count: int
    seed: int
    concurrency: int
    digest: str
    score: Score | None = None
    names: Sequence[str] = field(default_factory=tuple)
    rounds: int = 0
    spread: Callable[[Group], bool] = lambda _: True

    def sample(self, number: int, version: int, model: str, progress: Progress) -> None:
        """Sample a generation and write its file.

        Args:
            number: of the generation; of the step, in an evaluation.
            version: of the weights.
            model: name of the weights on the server.
            progress: receives the number of groups that are complete, and of all.
        """
        began = time.perf_counter()
        file = self.file(number)
        partial = _Partial(partial_file(file), {"version": version, "digest": self.digest})
        chosen = self.chosen(number)
        groups = self._groups(number, chosen, model, partial, progress)
        used, replaced = set(chosen), 0
        for attempt in range(1, self.rounds + 1):
            poor = [place for place, group in enumerate(groups) if not self.spread(group)]
            others = [prompt for prompt in self._shuffled(number, attempt) if prompt not in used][: len(poor)]
            if not others:
                break
            used.update(others)
            found = [group for group in self._groups(number, others, model, partial, progress) if self.spread(group)]
            replaced += len(found)
            for place, group in zip(poor, found, strict=False):
                groups[place] = group
        seconds = round(time.perf_counter() - began, 3)
        generation = Generation(number, version, self.digest, seconds, list(self.names), replaced, groups)
        generation.write(file)
        partial.path.unlink(missing_ok=True)

    def _groups(self, number: int, chosen: Sequence[int], model: str, partial: _Partial, progress: Progress) -> list[Group]:
        groups = [partial.known.get((prompt, self._seed(number, prompt))) for prompt in chosen]
        missing = [place for place, group in enumerate(groups) if group is None]

        def ask(place: int) -> Group:
            prompt = chosen[place]
            ids, seed = self.prompts[prompt].ids.tolist(), self._seed(number, prompt)
            return Group(prompt, ids, seed, self.answers(prompt, ids, self.count, model=model, seed=seed))

        done = len(chosen) - len(missing)
        for index, group in in_threads(ask, missing, self.concurrency):
            groups[missing[index]] = group
            partial.append(group)
            done += 1
            progress(done, len(chosen))
        found = [group for group in groups if group is not None]
        if self.score:
            self.score(found)
        return found

    def _shuffled(self, number: int, attempt: int) -> list[int]:
        order: list[int] = np.random.default_rng((self.seed, number, attempt)).permutation(len(self.prompts)).tolist()
        return order

    def _seed(self, number: int, prompt: int) -> int:
        """Return the seed of the first answer to a prompt; that of each further one is larger by 1."""
        return int(np.random.SeedSequence((self.seed, number, prompt)).generate_state(1)[0]) % (_SEEDS - self.count)


def partial_file(file: Path) -> Path:
    """Return the file of the groups of a generation that have arrived so far."""
    return file.with_suffix(".partial.jsonl")


class _Partial:
    """The groups of a generation that have arrived so far."""

    def __init__(self, path: Path, facts: dict[str, object]) -> None:
        self.path, self.known = path, dict[tuple[int, int], Group]()
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
        whole = [line for line in lines if line.endswith("\n")]
        if not whole or json.loads(whole[0]) != facts:
            whole = [json.dumps(facts) + "\n"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(whole), encoding="utf-8")
        for line in map(json.loads, whole[1:]):
            group = Group(**{**line, "answers": [Answer(**answer) for answer in line["answers"]]})
            self.known[group.prompt, group.seed] = group

    def append(self, group: Group) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(group), ensure_ascii=False) + "\n")
