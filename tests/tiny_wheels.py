"""An index of the tests' own, as a folder of wheels: two engines that can't share an environment, and what swift-serve itself needs.

The wheels of the second kind are packed from what is installed here, so that no test needs a network.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import zipfile
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ENGINE = """
import sys, json
from http.server import BaseHTTPRequestHandler, HTTPServer
import tiny_lib

__version__ = "1.0"

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"data": [{"id": sys.argv[2]}], "lib": tiny_lib.VERSION, "python": sys.executable}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

if __name__ == "__main__":
    HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def write_wheel(folder: Path, name: str, version: str, files: dict[str, str], requires: tuple[str, ...] = ()) -> Path:
    """A pure wheel of these files."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {text}\n" for text in requires)
    whole = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    return _pack(folder / f"{module}-{version}-py3-none-any.whl", info, {path: text.encode() for path, text in whole.items()})


def write_index(folder: Path) -> Path:
    """All wheels that the tests install."""
    folder.mkdir(parents=True, exist_ok=True)
    for version in ("1.0", "2.0"):
        write_wheel(folder, "tiny-lib", version, {"tiny_lib.py": f'VERSION = "{version}"\n'})
    write_wheel(folder, "tiny-engine", "1.0", {"tiny_engine.py": ENGINE}, ("tiny-lib==1.0",))
    write_wheel(folder, "other-engine", "1.0", {"other_engine.py": "import tiny_lib\n"}, ("tiny-lib==2.0",))
    repack(folder, (name for name in closure("swift-serve") if not name.startswith("swift-")))
    return folder


def repack(folder: Path, names: Iterable[str]) -> None:
    """Wheels of what is installed here."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        _repack(folder, importlib.metadata.distribution(name))


def closure(name: str) -> set[str]:
    """The canonical names of a distribution and of all that it needs; `name[extra]` adds what the extra needs."""
    first, found = Requirement(name), set[str]()
    asked = [(first.name, each) for each in ("", *first.extras)]
    while asked:
        here, extra = asked.pop()
        if (canonical := canonicalize_name(here)) in found and not extra:
            continue
        found.add(canonical)
        for text in importlib.metadata.requires(here) or ():
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                asked += [(needed.name, each) for each in ("", *needed.extras)]
    return found


def _repack(folder: Path, distribution: importlib.metadata.Distribution) -> None:
    files = {}
    for entry in distribution.files or ():
        if ".." not in entry.parts and entry.suffix != ".pyc" and entry.name not in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json"):
            files[entry.as_posix()] = Path(str(entry.locate())).read_bytes()
    info = next(path.partition("/")[0] for path in files if path.endswith(".dist-info/METADATA"))
    tag = next(line.split()[1] for line in files[f"{info}/WHEEL"].decode().splitlines() if line.startswith("Tag: "))
    _pack(folder / f"{info.removesuffix('.dist-info')}-{tag}.whl", info, files)


def _pack(path: Path, info: str, files: dict[str, bytes]) -> Path:
    record = []
    with zipfile.ZipFile(path, "w") as out:
        for name, content in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            record.append(f"{name},sha256={digest},{len(content)}")
            out.writestr(name, content)
        out.writestr(f"{info}/RECORD", "\n".join([*record, f"{info}/RECORD,,", ""]))
    return path
