"""The command line of the sandbox: bubblewrap under an unprivileged user id, with what the sandboxed code may see."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from swift_core.contract import UsageError
from swift_sandbox.limits import Limits

PYTHON = "/usr/bin/python3"  # of the system: the user's own may be in the home folder, which stays out of sight
HOME = "/tmp"  # inside the sandbox: the working folder, and all that can be written
USER = 65534  # nobody
_OPEN_FILES = 256
_SYSTEM = ("/bin", "/lib", "/lib32", "/lib64", "/sbin")  # links into /usr, or folders on older systems


def sandbox_command(argv: Sequence[str], *, files: Mapping[str, int], seccomp: int, limits: Limits) -> list[str]:
    """Return the command that runs `argv` in the sandbox.

    Args:
        argv: program and arguments, as seen from inside.
        files: path in the working folder → file descriptor with its content.
        seccomp: file descriptor with the filter of system calls.
        limits: limits that the kernel holds.

    Raises:
        UsageError: a program that the sandbox needs is not installed.
    """
    bwrap, prlimit = _tool("bwrap", "bubblewrap"), _tool("prlimit", "util-linux")
    command = [bwrap, "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    if os.geteuid() == 0:  # root is exempt from RLIMIT_NPROC, also inside a user namespace
        identity = [f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs"]
        command = [_tool("setpriv", "util-linux"), *identity, *command]
    command += ["--disable-userns", "--uid", str(USER), "--gid", str(USER), "--hostname", "sandbox"]
    command += ["--die-with-parent", "--new-session", "--seccomp", str(seccomp), "--clearenv"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": HOME, "LANG": "C.UTF-8", "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
    for name, value in environment.items():
        command += ["--setenv", name, value]
    command += ["--ro-bind", "/usr", "/usr"]
    for folder in map(Path, _SYSTEM):
        if folder.is_symlink():
            command += ["--symlink", os.readlink(folder), str(folder)]
        elif folder.exists():
            command += ["--ro-bind", str(folder), str(folder)]
    command += ["--proc", "/proc", "--dev", "/dev", "--size", str(limits.disk), "--tmpfs", HOME]
    for path, descriptor in files.items():
        command += ["--file", str(descriptor), str(_inside(path))]
    command += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", HOME, "--"]
    command += [prlimit, f"--as={limits.memory}", f"--cpu={limits.cpu_seconds}:{limits.cpu_seconds + 1}", f"--nproc={limits.processes}"]
    return [*command, f"--nofile={_OPEN_FILES}", "--core=0", "--", *argv]


def _inside(path: str) -> PurePosixPath:
    given = PurePosixPath(path)
    if given.is_absolute() or ".." in given.parts or not given.parts or "\0" in path:
        raise UsageError(
            f"'{path}' is not a path inside the sandbox's working folder", code="SANDBOX-001", hint="Give a relative path without '..'."
        )
    return PurePosixPath(HOME) / given


def _tool(name: str, package: str) -> str:
    found = shutil.which(name, path="/usr/bin:/bin:/usr/local/bin")
    if found is None:
        hint = f"Install it, for example: apt-get install {package}. Nothing is run without it."
        raise UsageError(f"the sandbox needs {name}, which is not installed", code="SANDBOX-002", hint=hint)
    return found
