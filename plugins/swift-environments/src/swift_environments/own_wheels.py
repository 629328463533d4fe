"""Wheels of our distributions, made from the files that are running: nothing is taken from an index, where anybody could have the name."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from importlib.metadata import Distribution
from pathlib import Path

from swift_environments import own_code

_EPOCH = (1980, 1, 1, 0, 0, 0)
_WHEEL = b"Wheel-Version: 1.0\nGenerator: swift\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def write_wheel(distribution: Distribution, folder: Path) -> Path:
    """Write a distribution as a wheel (PEP 427) into a folder and return the file; the same files give the same bytes.

    Raises:
        SwiftError: the disk is full or not writable.
    """
    files = own_code.files([distribution])
    info = next(name.partition("/")[0] for name in files if name.partition("/")[0].endswith(".dist-info"))
    files.pop(f"{info}/INSTALLER", None)
    files[f"{info}/WHEEL"] = _WHEEL
    record = "".join(f"{name},sha256={_hash(data)},{len(data)}\n" for name, data in sorted(files.items())) + f"{info}/RECORD,,\n"
    files[f"{info}/RECORD"] = record.encode()
    target = folder / f"{info.removesuffix('.dist-info')}-py3-none-any.whl"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(files.items(), key=lambda item: (item[0].startswith(info), item[0])):
            member = zipfile.ZipInfo(name, _EPOCH)
            member.compress_type, member.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(member, data)
    return target


def _hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
