"""Check the import contracts of pyproject.toml: `python -m tests.import_contracts`.

import-linter knows no patterns of packages, and its lists would change with every new distribution. So two names in them stand for
packages of `plugins/`: `PLUGINS` for all plugins, `LIBRARIES` for all libraries.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def packages() -> Mapping[str, list[str]]:
    """Return the packages that each name stands for."""
    found = sorted(path.parent.name for path in ROOT.glob("plugins/*/src/*/__init__.py"))
    plugins = [name for name in found if name.startswith("swift_plugin_")]
    return {"PLUGINS": plugins, "LIBRARIES": [name for name in found if name not in plugins]}


def expanded() -> dict[str, Any]:
    """Return import-linter's settings with every name replaced by its packages."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    known = packages()

    def expand(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: expand(item) for key, item in value.items()}
        if isinstance(value, list):
            return [each for item in value for each in (known.get(item, [item]) if isinstance(item, str) else [expand(item)])]
        return value

    return dict(expand(settings))


def _lines(settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield the settings in import-linter's INI format."""
    contracts = settings["contracts"]
    yield "[importlinter]"
    yield "root_packages =\n" + "".join(f"    {name}\n" for name in settings["root_packages"])
    for number, contract in enumerate(contracts):
        yield f"[importlinter:contract:{number}]"
        for key, value in contract.items():
            yield f"{key} = {value}" if isinstance(value, str) else f"{key} =\n" + "".join(f"    {item}\n" for item in value)


def main() -> int:
    """Check the contracts; print the report if one is broken."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "importlinter.ini"
        config.write_text("\n".join(_lines(expanded())), encoding="utf-8")
        command = [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--config", config]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode:
        print(result.stdout + result.stderr)
    return result.returncode


if __name__ == "__main__":
    sys.exit(main())
