"""The job of `swift sample`: rejection sampling. Several answers to each prompt, scored; the best become rows to train on.

What a prompt gave is appended to `OUTPUT.partial`, and the output is written when all are done; `--resume` continues.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_data.reading import raw_rows
from swift_data.rows import ChatRow, PromptRow, normalise
from swift_data.rows.conversations import with_default_system
from swift_serve.client import Client
from swift_serve.messages import api_message
from swift_serve.temporary_server import server_of

from swift_core.contract import Run, Stopped, SwiftError, UsageError
from swift_core.system import check_free, paths, write_text
from swift_rollouts.rewards.process import RewardProcess, check_rewards
from swift_rollouts.rewards.reward import Answered, reward_choices
from swift_rollouts.threads import in_threads

if TYPE_CHECKING:
    from swift_core.runs import Draft, Report

_FILE = "sampled.jsonl"  # in the run folder


@dataclass(frozen=True, slots=True)
class _Prompt:
    number: int
    messages: Sequence[Mapping[str, Any]]
    fields: Mapping[str, Any]


def prepare(draft: Draft) -> None:
    """Check the rewards before anything is downloaded (`VerbSpec.prepare`)."""
    if choices := reward_choices(draft.options["reward_funcs"], draft.options["modules"]):
        check_rewards(choices, float(draft.options["reward_timeout"]))


def sample(run: Run, report: Report) -> tuple[Path, dict[str, Any]]:
    """Sample, score and write rows; figures: prompts, answers, rows, reward (mean of the total).

    Raises:
        UsageError: there are no prompts or no server, the output exists, a reward failed, or what is there is of another run.
        Stopped: a stop was requested; what is done is kept.
        SwiftError: the server failed; what is done is kept.
    """
    options = run.options
    output = Path(options["output"]) if options["output"] else report.folder / _FILE
    check_free(output, overwrite=bool(options["overwrite"]))
    prompts = list(_prompts(run))
    if not prompts:
        raise UsageError("no prompts", code="RL-029", where="dataset", hint="Add --dataset FILE with prompt or chat rows.")
    partial = output.with_name(output.name + ".partial")
    done = _done(partial, run, resume=bool(options["resume"]))
    try:
        _sample_all(run, report, prompts[len(done) :], partial, done)
    except SwiftError as error:
        again = f"--output {shlex.quote(str(output))} --resume"
        hint = f"{error.hint} {len(done)} of {len(prompts)} prompts are done; to continue, run the same command with {again}.".strip()
        raise error.with_context(hint=hint) from error.__cause__
    rows = [row for each in done for row in each["rows"]]
    write_text(output, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    partial.unlink()
    totals = [total for each in done for total in each["totals"]]
    figures = {"prompts": len(prompts), "answers": len(totals), "rows": len(rows)}
    return output, figures | ({"reward": sum(totals) / len(totals)} if options["reward_funcs"] else {})


def _sample_all(run: Run, report: Report, prompts: Sequence[_Prompt], partial: Path, done: list[dict[str, Any]]) -> None:
    """Append the rows of every prompt to `partial` and `done`, in order, some prompts at a time."""
    options, total, client = run.options, len(prompts) + len(done), Client(server_of(run))
    choices, size = reward_choices(options["reward_funcs"], options["modules"]), int(options["concurrency"])
    with ExitStack() as stack, partial.open("a", encoding="utf-8") as file:
        process = stack.enter_context(RewardProcess(choices, float(options["reward_timeout"]))) if choices else None
        for start in range(0, len(prompts), size):
            report.progress("sample", len(done), total, unit="prompts")
            if report.stop_requested:
                raise Stopped("stopped", code="RL-030")
            part = prompts[start : start + size]
            answers: list[list[Answered]] = [[] for _ in part]
            for place, found in in_threads(lambda prompt: _answers(client, prompt, options), part, size):
                answers[place] = found
            flat = [answer for found in answers for answer in found]
            scores = process.score(flat) if process else {}
            offset = 0
            for found in answers:
                own = {name: values[offset : offset + len(found)] for name, values in scores.items()}
                offset += len(found)
                done.append(_result(found, own, options))
                file.write(json.dumps(done[-1], ensure_ascii=False) + "\n")
            file.flush()
        report.progress("sample", len(done), total, unit="prompts")


def _answers(client: Client, prompt: _Prompt, options: Mapping[str, Any]) -> list[Answered]:
    body = {
        "model": client.model, "messages": [api_message(dict(message)) for message in prompt.messages], "n": options["num_generations"],
        "temperature": options["temperature"], "top_p": options["top_p"], "max_tokens": options["max_tokens"],
        "seed": options["seed"] + prompt.number * options["num_generations"], "return_token_ids": True,
    }  # fmt: skip
    return [
        Answered(
            text=str(choice["message"]["content"] or ""), ids=choice.get("token_ids") or [], finish=str(choice["finish_reason"]),
            messages=prompt.messages, fields=prompt.fields,
        )
        for choice in client.post("/chat/completions", body)["choices"]
    ]  # fmt: skip


def _result(answers: Sequence[Answered], scores: Mapping[str, Sequence[float | None]], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rows of a prompt, and the total rewards of its answers."""
    weights = options["reward_weights"] or [1.0] * len(scores)
    pairs = list(zip(scores.values(), weights, strict=True))
    totals = [sum((values[place] or 0.0) * weight for values, weight in pairs) for place in range(len(answers))]
    ranked = sorted(range(len(answers)), key=lambda place: -totals[place])
    best = [place for place in ranked if options["threshold"] is None or totals[place] >= options["threshold"]]
    rows: list[dict[str, Any]] = []
    if options["rows"] == "preference":
        worst = ranked[-1]
        if best and totals[best[0]] > totals[worst]:
            said = [[{"role": "assistant", "content": answers[place].text}] for place in (best[0], worst)]
            rows = [{"prompt": list(answers[worst].messages), "chosen": said[0], "rejected": said[1]}]
    else:
        for place in best[: options["keep"] if scores else len(best)]:
            answer = answers[place]
            rewards = {"reward": totals[place]} if scores else {}
            rows.append({"messages": [*answer.messages, {"role": "assistant", "content": answer.text}], **rewards})
    return {"rows": rows, "totals": totals}


def _prompts(run: Run) -> Iterator[_Prompt]:
    number = 0
    for choice in run.datasets:
        for raw in raw_rows(choice, run.options.get("data")):
            row = normalise(raw, ("chat", "prompt"))
            assert isinstance(row, ChatRow | PromptRow)
            messages = list(with_default_system(row.messages, run.options["system"]))
            while messages and messages[-1]["role"] not in ("user", "tool"):
                messages.pop()
            yield _Prompt(number, messages, row.extra if isinstance(row, PromptRow) else dict(raw.data))
            number += 1


def _done(partial: Path, run: Run, *, resume: bool) -> list[dict[str, Any]]:
    """Return what an interrupted run has done; the file begins with what determines the answers.

    Raises:
        UsageError: it is of another run.
    """
    data = [(choice.asked, choice.hash) for choice in run.datasets]
    facts = {"digest": paths.digest([run.options_with_effect(), data, run.model.hash if run.model else ""])}
    lines = partial.read_text(encoding="utf-8").splitlines(keepends=True) if resume and partial.is_file() else []
    whole = [line for line in lines if line.endswith("\n")]
    if whole and json.loads(whole[0]) != facts:
        raise UsageError(
            "the existing answers were sampled with other options or prompts",
            code="RL-031",
            where=str(partial),
            hint="Omit --resume to start again.",
        )
    write_text(partial, "".join(whole or [json.dumps(facts) + "\n"]))
    return [json.loads(line) for line in whole[1:]]
