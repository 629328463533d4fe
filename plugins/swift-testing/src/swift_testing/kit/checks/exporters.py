"""Checks of an exporter on the tiny model: its output exists, is reproducible, and predicts what the checkpoint does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from swift_convert.roles import LoadableExporter
from swift_convert.verify_worker import answer

from swift_core.contract import SwiftError
from swift_core.system import paths
from swift_testing.kit import tiny
from swift_testing.kit.model import CheckFailed, Skip, check, require
from swift_testing.kit.subject import Subject

EXPORTER = "exporter"
_NEEDS = ("torch", "transformers")


def _exported(subject: Subject, again: bool = False) -> tuple[Path, Path]:
    """Return the output path and the path that readers open; export anew if `again`."""
    if "safetensors" not in subject.spec.reads:
        raise Skip("it does not read safetensors, the only format of the tiny model")
    if subject.spec.calibrates:
        raise Skip("it requires a calibration set")
    subject.needs_engine()

    def make() -> tuple[Path, Path]:
        out = subject.new_folder("exported")
        return out, Path(subject.build().export(subject.tiny_model, out))

    return make() if again else subject.keep("exported", make)


def _hashes(out: Path) -> dict[str, str]:
    files = [out] if out.is_file() else sorted(path for path in out.rglob("*") if path.is_file())
    return {path.name if path == out else path.relative_to(out).as_posix(): paths.sha256(path) for path in files}


@check(EXPORTER, needs=_NEEDS)
def check_export(subject: Subject) -> None:
    """The path that it returns exists and is the output path or inside it."""
    out, opened = _exported(subject)
    require(opened.exists(), f"it returns {opened}, which does not exist")
    require(opened == out or out in opened.parents, f"its output path is {out}, but it returns {opened}")


@check(EXPORTER, needs=_NEEDS)
def check_export_is_deterministic(subject: Subject) -> None:
    """The same checkpoint gives bitwise the same files."""
    one, other = _hashes(_exported(subject)[0]), _hashes(_exported(subject, again=True)[0])
    differ = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
    require(not differ, f"exported twice, these files differ: {', '.join(differ)}")


@check(EXPORTER, needs=_NEEDS)
def check_export_accuracy(subject: Subject) -> None:
    """Loaded again, its output tokenizes text as the checkpoint does, and its KL divergence from the checkpoint is within `max_kl`."""
    import torch
    from safetensors.torch import load_file
    from transformers import AutoTokenizer

    exporter = subject.build()
    if not isinstance(exporter, LoadableExporter):
        raise Skip("it can't load what it writes, so exports with it are not verified")
    opened = _exported(subject)[1]
    tokenizer: Any = AutoTokenizer.from_pretrained(subject.tiny_model)
    text = str(tokenizer.apply_chat_template(tiny.QUESTION, tokenize=False, add_generation_prompt=True))
    questions, answers = subject.folder / "questions.jsonl", subject.folder / "answers.safetensors"
    lines = [{"text": text}, *({"ids": row} for row in tiny.inputs().tolist())]
    questions.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    result = answer(exporter, opened, questions, answers)
    require(
        result["texts"] == [tokenizer(text, add_special_tokens=False).input_ids],
        f"{text!r} is tokenized differently than by the checkpoint's tokenizer",
    )
    found = torch.stack([tensor for _, tensor in sorted(load_file(answers).items())]).log_softmax(-1)
    expected = tiny.logits(tiny.base(subject.tiny_model)).log_softmax(-1)
    require(found.shape == expected.shape, f"its logits have the shape {list(found.shape)}, the checkpoint's {list(expected.shape)}")
    kl = float(torch.nn.functional.kl_div(found, expected, log_target=True, reduction="none").sum(-1).mean())
    require(kl <= exporter.max_kl, f"its KL divergence is {kl:.3g} nats per token, above its own limit of {exporter.max_kl:g}")


@check(EXPORTER)
def check_missing_checkpoint_is_refused(subject: Subject) -> None:
    """A missing checkpoint is a SwiftError with a hint and leaves no output."""
    subject.needs_engine()
    out = subject.new_folder("nothing")
    try:
        subject.build().export(subject.folder / "nowhere", out)
    except SwiftError as error:
        require(error.hint, f"the error has no hint: {error.message}")
        require(not out.exists(), "it left output")
        return
    except Exception as error:
        raise CheckFailed(f"a missing checkpoint raises {type(error).__name__}: {error}") from error
    raise CheckFailed("a missing checkpoint is not an error")
