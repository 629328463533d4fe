"""Launch lines of other training tools, typed after `swift`: `torchrun … train.py`, `deepspeed train.py`, `accelerate launch …`, a script.

Swift starts the processes of a run itself and runs no training scripts. What such a line says of processes and nodes is translated, and the
words after the script, whose names are mostly known here, are kept; nothing is run.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from swift_core.contract import UsageError
from swift_core.plugins import find_verb

_LAUNCHER = re.compile(r"torchrun|torch\.distributed\.(run|launch)|deepspeed|accelerate|python[\d.]*|swift")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)
_PROCESSES = ("nproc_per_node", "num_gpus", "num_processes")
_NODES = ("nnodes", "num_nodes", "num_machines")
_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "NODE_RANK": ("node_rank", "machine_rank"),
    "MASTER_ADDR": ("master_addr", "main_process_ip"),
    "MASTER_PORT": ("master_port", "main_process_port"),
}
_DEEPSPEED = "deepspeed_config_file"
_NEEDLESS = ("standalone", "use_env", "multi_gpu", "no_python")  # swift does by itself what they ask for


@dataclass
class Line:
    """A parsed launch line."""

    variables: list[str] = field(default_factory=list)  # NAME=value
    launchers: list[str] = field(default_factory=list)
    flags: dict[str, str] = field(default_factory=dict)  # of the launchers, by their names with `_`
    script: str = ""  # a file or module
    words: list[str] = field(default_factory=list)  # after it

    @property
    def of_swift(self) -> bool:
        """True if the line goes on as one of swift, after its name or variables."""
        return self.launchers[-1:] == ["swift"] or not (self.launchers or self.script)

    def first(self, names: Sequence[str]) -> str:
        """Return the value of the first of these flags; '' if none is given."""
        return next((self.flags[name] for name in names if self.flags.get(name)), "")


def answer(name: str, words: Sequence[str]) -> UsageError | None:
    """Return an error that says what to type in place of `swift NAME WORDS`; None if it is no launch line."""
    line = read([name, *words])
    if line.of_swift and (line.launchers or line.variables):
        message = "a command line of swift was typed after 'swift'"
    elif line.launchers:
        message = f"'{line.launchers[-1]}' starts Python scripts; swift runs no scripts, and starts the processes of a run itself"
    elif line.script:
        message = f"'{line.script}' is a Python script; swift runs no scripts"
    else:
        return None
    return UsageError(message, code="TRAIN-198", hint=f"Type: {typed(line)}{_remarks(line)}")


def _remarks(line: Line) -> str:
    """Return what the typed line does not say."""
    used = [*_PROCESSES, *_NODES, *(name for names in _VARIABLES.values() for name in names), _DEEPSPEED, *_NEEDLESS]
    left = [flag for flag in line.flags if flag not in used]
    text = f" (not translated: {', '.join(f'--{flag}' for flag in left)})" if left else ""
    unknown = line.launchers[-1:] != ["torchrun"] if not line.first(_PROCESSES) else not line.first(_PROCESSES).isdecimal()
    starts_several = any(not name.startswith(("python", "swift")) for name in line.launchers)
    text += f"; to load the file as a plugin: swift --plugin {line.script} …" if not line.launchers and line.script else ""
    return text + ("; for N processes, add --processes N" if starts_several and unknown else "")


def read(words: Sequence[str]) -> Line:
    """Return the parts of a launch line; launchers may follow one another (`python -m torch.distributed.run …`)."""
    line, left = Line(), list(words)
    while left and _ASSIGNMENT.fullmatch(left[0]):
        line.variables.append(left.pop(0))
    while left and not line.script:
        name = PurePath(left[0]).name
        if name.endswith(".py") or (line.launchers and _is_module(left[0])):
            line.script = left.pop(0)
        elif _LAUNCHER.fullmatch(name):
            line.launchers.append(name)
            left = left[2:] if left[1:2] == ["launch"] else left[1:]
            if name == "swift":
                break
            left = _flags(left, line)
        else:
            break
    line.words = left
    return line


def _flags(words: list[str], line: Line) -> list[str]:
    """Read the flags of a launcher, and return the words from the script, module or next launcher on."""
    while words and words[0].startswith("-"):
        name, equals, value = words.pop(0).lstrip("-").partition("=")
        if name in ("m", "module"):
            break
        name = name.replace("-", "_")
        has_value = bool(equals) or (bool(words) and not words[0].startswith("-") and not _starts(words[0]))
        line.flags[name] = value if equals else words.pop(0) if has_value else ""
    return words


def _starts(word: str) -> bool:
    """Return whether a word after a flag is not its value: a script, or another launcher."""
    name = PurePath(word).name
    return name.endswith(".py") or bool(_LAUNCHER.fullmatch(name))


def _is_module(word: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z_]\w*(\.\w+)+", word)) and not _LAUNCHER.fullmatch(word)


def typed(line: Line) -> str:
    """Return the command line of swift that says the same."""
    verb, rest = (line.words[:1], line.words[1:]) if line.of_swift else ([_verb(line.script)], line.words)
    variables = [f"{name}={line.first(flags)}" for name, flags in _VARIABLES.items() if line.first(flags)]
    processes, nodes = line.first(_PROCESSES), line.first(_NODES)
    if "num_processes" in line.flags and processes.isdecimal() and nodes.isdecimal():
        processes = str(max(1, int(processes) // int(nodes)))  # accelerate counts those of all machines
    options: list[str] = []
    for flag, value in (("--processes", processes), ("--nodes", nodes)):
        options += [flag, value] if value.isdecimal() and int(value) > 1 else []
    options += ["--deepspeed", line.flags[_DEEPSPEED]] if line.flags.get(_DEEPSPEED) else []
    return " ".join([*line.variables, *variables, shlex.join(["swift", *verb, *options, *rest])])


def _verb(script: str) -> str:
    """Return the verb that a script or module is named after; sft if none is."""
    stem = PurePath(script).name.removesuffix(".py").rpartition(".")[2]
    words = [word for word in re.split(r"[^A-Za-z]+", stem) if word and word != "train"]
    return next((verb.name for word in words if (verb := find_verb(word))), "sft")
