"""A seccomp filter: no sockets but Unix ones, no memory that no limit counts, none of the kernel interfaces that exploits are fond of.

A network namespace does not cover every address family (AF_VSOCK reaches the host of a virtual machine), and memory of memfd_create or
shmget belongs to no process. The filter is a classic BPF program, as `bwrap --seccomp` reads it.
"""

from __future__ import annotations

import errno
import platform
import struct

from swift_core.contract import UsageError

_DENIED = {  # name: (x86_64, aarch64)
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "io_uring_setup": (425, 425),
    "userfaultfd": (323, 282),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "ptrace": (101, 117),
}
_SOCKET = (41, 198)
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, AUDIT_ARCH_*
_X32 = 0x40000000  # first number of the x32 calls, which share the architecture of x86_64

_LOAD, _EQUAL, _GREATER_EQUAL, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050000 | errno.EPERM
_AF_UNIX = 1


def seccomp_program() -> bytes:
    """Return the filter for this machine.

    Raises:
        UsageError: there is none for its architecture.
    """
    machine = platform.machine()
    if machine not in _MACHINES:
        raise UsageError(
            f"the sandbox does not support the architecture {machine}", code="SANDBOX-007", hint=f"It runs on {' and '.join(_MACHINES)}."
        )
    column, architecture = _MACHINES[machine]
    denied = [numbers[column] for numbers in _DENIED.values()]
    checks = [
        (_LOAD, 0, 0, _ARCH),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_GREATER_EQUAL, len(denied) + 3, 0, _X32),
        *((_EQUAL, len(denied) + 2 - place, 0, number) for place, number in enumerate(denied)),
        (_EQUAL, 0, 3, _SOCKET[column]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_EQUAL, 1, 0, _AF_UNIX),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *check) for check in checks)
