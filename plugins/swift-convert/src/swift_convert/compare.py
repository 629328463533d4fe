"""`swift quantize CHECKPOINT --compare gptq,bnb:bits=8`: quantize a checkpoint with several methods and tabulate the results.

Each method is a separate run of `swift quantize`. A method that can't run here, or fails, is listed with the reason; the others continue.
"""

from __future__ import annotations

import copy
import re
import resource
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from swift_report.page import write_report

from swift_convert.report import METHODS, divergence
from swift_core.contract import Problems, QuantizerSpec, Run, RunResult, Settings, Stopped, SwiftError, UsageError, Watch, progress
from swift_core.plugins import Registry, catalogue, registry
from swift_core.runs import Resolved
from swift_core.system import write_json, write_result, write_text

Resolver = Callable[[Settings], Resolved | None]
_HOW = "Write names separated by commas, with options after colons: gptq,awq,bnb:bits=8,gptq:bits=4:group_size=64."
_ANY = 1e9  # nats per token: a comparison includes poor results too


@dataclass(frozen=True, slots=True)
class Method:
    """A quantizer with options; `asked` is the text that the user wrote."""

    asked: str
    name: str
    options: Mapping[str, str]

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return re.sub(r"[^A-Za-z0-9._-]+", "-", self.asked)


def parse(text: str, known: Registry) -> list[Method]:
    """Parse a list of methods such as `gptq,bnb:bits=8`.

    Raises:
        UsageError: the text is malformed, or a quantizer is unknown.
    """
    methods = {}
    for asked in filter(None, (item.strip() for item in text.split(","))):
        name, *pairs = asked.split(":")
        options = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        if not name or len(options) != len(pairs):
            raise UsageError(f"'{asked}' is not a quantizer with options", code="CONVERT-006", where="compare", hint=_HOW)
        if name not in catalogue().get("quantizer", {}):  # a known one that is not installed becomes a line of the table
            known.entry(QuantizerSpec, name, where="compare")
        methods[asked] = Method(asked, name, {key.replace("-", "_"): value for key, value in options.items()})
    if not methods:
        raise UsageError("no quantizer given", code="CONVERT-007", where="compare", hint=_HOW)
    return list(methods.values())


def compare(asked: str, settings: Settings, resolver: Resolver, *, keep: bool = False, watch: Watch | None = None) -> RunResult:
    """Quantize with each of the methods, and write `compare.json`, `compare.svg` and `report.html`.

    Args:
        asked: the methods, as on the command line.
        settings: the settings of `swift quantize`, without a quantizer.
        resolver: resolves settings to a run, or returns None if the engine is not installed.
        keep: keep the checkpoints, in `compare/NAME/output` of the run folder.
        watch: called with each event of each run.

    Returns:
        The run folder, and a figure `methods`: one mapping per method, with a `reason` if it could not run.

    Raises:
        UsageError: settings contradict a comparison, or no method can run here.
    """
    methods = parse(asked, registry())
    _check(settings)
    runs: dict[str, Run] = {}
    reasons: dict[str, SwiftError] = {}
    for method in methods:
        try:
            runs[method.asked] = _resolved(method, settings, resolver)
        except SwiftError as error:
            reasons[method.asked] = error
    if not runs:
        raise next(iter(reasons.values())) if len(reasons) == 1 else Problems(list(reasons.values()))
    first = next(iter(runs.values()))
    folder = Path(first.options["runs"]) / f"{datetime.now():%Y%m%d-%H%M%S}-compare-{secrets.token_hex(2)}"
    found = []
    for number, method in enumerate(methods):
        if watch:
            watch(progress("compare", number, len(methods), "methods"))
        if method.asked in reasons:
            found.append({"method": method.asked, **_reason(reasons[method.asked])})
        else:
            found.append({"method": method.asked, **_measured(runs[method.asked], folder / "compare" / method.folder, keep, watch)})
        write_json(folder / METHODS, _record(first, found))
    if chart := divergence(found):
        write_text(folder / "compare.svg", chart.standalone())
    result = RunResult(status="done", folder=folder, figures={"methods": found})
    write_result(folder, result.to_json())
    write_report([folder], title=f"Quantization of {first.model.reference if first.model else ''}")
    return result


def _check(settings: Settings) -> None:
    for name, hint in (("quantizer", "Omit it: --compare selects them."), ("output", "Use --keep to keep the results in the run folder.")):
        if settings.values.get(name):
            raise UsageError("can't be combined with --compare", code="CONVERT-005", where=settings.where(name), hint=hint)
    if settings.values.get("verify") is False:
        raise UsageError(
            "a comparison must verify each result", code="CONVERT-008", where=settings.where("verify"), hint="Omit --no-verify."
        )


def _resolved(method: Method, settings: Settings, resolver: Resolver) -> Run:
    own = copy.deepcopy(settings)
    own.set("quantizer", {"name": method.name, **method.options})
    asked = own.values.get("verify")
    own.values["verify"] = {"max_kl": _ANY, **(asked if isinstance(asked, Mapping) else {})}
    resolved = resolver(own)
    if resolved is None:
        raise UsageError(
            f"the engine of {method.name} is not installed",
            code="CONVERT-009",
            where="compare",
            hint=f"Run swift env create {method.name}.",
        )
    return resolved.run


def _measured(run: Run, folder: Path, keep: bool, watch: Watch | None) -> dict[str, Any]:
    from swift_core.runs import Context, carry_out

    before = _cpu_seconds()
    try:
        done = carry_out(replace(run, options={**run.options, "output": ""}), Context(runs=folder.parent, watch=watch, folder=folder))
    except Stopped:
        raise
    except SwiftError as error:
        return {"folder": str(folder), **_reason(error)}
    spent = _cpu_seconds() - before
    choice = run.part("quantizer")
    bits = choice.options.get("bits") or max(registry().spec(choice, QuantizerSpec).bits)
    if not keep and done.output:
        shutil.rmtree(done.output)
    kept = {"output": str(done.output)} if keep else {}
    return {"quantizer": choice.name, "bits": bits, "cpu_seconds": round(spent, 2), **done.figures, "folder": str(folder), **kept}


def _reason(error: SwiftError) -> dict[str, str]:
    return {"reason": error.message, "hint": error.hint}


def _cpu_seconds() -> float:
    """Return the CPU time of the finished child processes."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _record(run: Run, found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"schema": 1, "model": run.model.reference if run.model else "", "methods": list(found)}
