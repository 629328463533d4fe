"""A verb: something that a user can do, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from swift_core.contract.specs import Named, Ref

Noun = Literal["checkpoint", "rows", "shards", "server", "answers", "scores", "file", "model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerbSpec(Named):
    """A verb. The command, its help, the YAML, the recipe step, the JSON Schema, the Python function and the reference page follow from it.

    What it works with:
        takes, gives: kinds of input and output. A verb that takes a server has an option `url`, and needs no backend if it is given.
            A verb that gives a server is a context manager in Python and runs until Ctrl-C.
        options: the class of the verb's own options (`swift_core.options.Options`).
        parts: the parts that a run is made of, each with the implementation used by default ('' for none).
        main: the part whose options are options of the verb itself: flat flags, and the top level of the YAML.
        fixed: parts that cannot be chosen.
        preferred: implementations of parts without a default that are tried first if an option is given but no implementation.
        flags: part → name of the flag that chooses it, if it is not the part's name.
        positional: the option that bare words set: `model` takes one, `dataset` all of them.
        each: a part whose implementations are verbs of their own: `swift NAME` is this verb with NAME as that part.

    How it is carried out:
        job: what a worker calls, (run, report) -> (output path or None, figures), or the figures alone. If it is None, a part brings it:
        job_from: 'part.attribute' of the specs of the parts that may name it; the first one that is set is used.
        prepare: (draft) -> None before anything is downloaded, and `complete` after the checkpoint is there; both may change the
            `swift_core.runs.Draft`, before the run is frozen.
        check: (run, registry) -> problems, as the hook `swift_check`.
        carry_out: what is done instead of starting workers: (run, context: `swift_core.runs.Context`) -> `RunResult`.
        output_ratio: minimum size of the result's weights relative to the source's, for the check of disk space; 0: unknown.
        records: whether it leaves a run folder. One that does not is never skipped by a recipe as finished.

    How it is presented:
        spellings: flags of other tools → the name of a part or option: {"train_type": "tuner"}; with a value, options with their values:
            {"load_in_8bit=true": "quantizer=bnb quantizer.bits=8"}.
        ignored: options of other tools that need no counterpart, each with the reason, which is shown: {"lazy_tokenize": "…"}; with a value
            (`report_to=none`) only that value is accepted.
        unsupported: options of other tools that are refused, each with the reason and what to do instead; with a value (`tuner_type=reft`)
            only that value is.
        rewrite: (words) -> (verb, words) for command lines of other tools that mean another verb; '' for the same.
        show: (result) -> lines printed when it has finished.
        command: the click command (a class, called with the spec), if `swift_core.cli.VerbCommand` is not enough.
        interactive: it cannot be a step of a recipe.
    """

    kind: ClassVar[str] = "verb"

    options: Ref
    takes: tuple[Noun, ...] = ()
    gives: Noun | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    main: str = ""
    fixed: frozenset[str] = frozenset()
    preferred: Mapping[str, str] = field(default_factory=dict)
    flags: Mapping[str, str] = field(default_factory=dict)
    positional: Literal["", "model", "dataset"] = ""
    each: str = ""
    job: Ref | None = None
    job_from: tuple[str, ...] = ()
    prepare: tuple[Ref, ...] = ()
    complete: tuple[Ref, ...] = ()
    check: Ref | None = None
    carry_out: Ref | None = None
    output_ratio: float = 0.0
    records: bool = True
    spellings: Mapping[str, str] = field(default_factory=dict)
    ignored: Mapping[str, str] = field(default_factory=dict)
    unsupported: Mapping[str, str] = field(default_factory=dict)
    rewrite: Ref | None = None
    show: Ref | None = None
    command: Ref | None = None
    interactive: bool = False

    def of(self, implementation: Named) -> VerbSpec:
        """Return the verb that an implementation of the part `each` is: named after it, with the part fixed."""
        return replace(
            self,
            name=implementation.name,
            also=implementation.also,
            summary=implementation.summary,
            parts={**self.parts, self.each: implementation.name},
            fixed=self.fixed | {self.each},
            each="",
        )
