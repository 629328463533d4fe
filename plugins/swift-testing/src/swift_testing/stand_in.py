"""A stand-in for SGLang and LMDeploy on machines that can't run them: it has their arguments, routes, names and refusals.

`environment()` creates a virtual environment in which the engine's module is this file. It uses only the standard library. The model
answers with fixed tokens; an adapter shifts their log-probabilities by the size of its weights, so an empty adapter changes nothing.

The environment variable STAND_IN_FAULT simulates a fault. `start`: it exits before it listens; `later`: it exits once the file
STAND_IN_END exists; `never`: it never listens; `open`: it ignores its API key.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

WORDS = ("I", " am", " a", " stand-in", ".")
MODULES = {"sglang": "sglang.launch_server", "lmdeploy": "lmdeploy"}


def environment(folder: Path, engine: str, version: str) -> Path:
    """Create a virtual environment in which `engine` is this file; return its interpreter."""
    import venv

    venv.create(folder, with_pip=False, symlinks=True)
    site = next(folder.glob("lib/python*/site-packages"))
    package = site.joinpath(*MODULES[engine].split("."))
    package.mkdir(parents=True)
    (site / engine / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(Path(__file__).read_text(encoding="utf-8"), encoding="utf-8")
    metadata = site / f"{engine}-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: {engine}\nVersion: {version}\n", encoding="utf-8")
    return folder / "bin" / "python"


@dataclass
class State:
    """The served models: the name of the base, the adapters by name, and how clients address an adapter."""

    name: str
    host: str
    port: int
    key: str | None
    adapters: dict[str, Path] = field(default_factory=dict)
    separator: str = ""  # between the names of model and adapter; '': the adapter's name alone
    runtime: bool = False

    def shift(self, model: str) -> float | None:
        """Return by how much its log-probabilities differ from the base's; None if there is no such model."""
        if not self.separator:
            return 0.0 if model == self.name else weight(self.adapters[model]) if model in self.adapters else None
        _, mark, adapter = model.partition(self.separator)
        if not mark:
            return 0.0  # SGLang answers any name with the base
        return weight(self.adapters[adapter]) if adapter in self.adapters else None


def weight(adapter: Path) -> float:
    """Return the size of an adapter's tensors in kB; 0 for an adapter without weights."""
    content = (adapter / "adapter_model.safetensors").read_bytes()
    return (len(content) - 8 - int.from_bytes(content[:8], "little")) / 1000


class Handler(BaseHTTPRequestHandler):
    """Handles the engine's routes."""

    state: State

    def do_GET(self) -> None:
        """Handle health, metrics and models."""
        if self.path == "/health":
            self._reply(200, {})
        elif not self._allowed():
            self._reply(401, {"error": "Unauthorized"})
        elif self.path == "/metrics":
            self._reply(200, {"requests": 1})
        elif self.path == "/v1/models":
            self._reply(200, {"data": [{"id": name} for name in (self.state.name, *self.state.adapters)]})
        else:
            self._reply(404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        """Handle completions and changes of adapters."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if not self._allowed():
            self._reply(401, {"error": "Unauthorized"})
        elif self.path in ("/load_lora_adapter", "/unload_lora_adapter") and self.state.runtime:
            self._change(body)
        elif self.path in ("/v1/completions", "/v1/chat/completions"):
            shift = self.state.shift(body["model"])
            self._reply(404, {"message": "no such model"}) if shift is None else self._answer(body, shift)
        else:
            self._reply(404, {"detail": "Not Found"})

    def _change(self, body: dict[str, Any]) -> None:
        name = body["lora_name"]
        path = Path(body.get("lora_path", ""))
        if self.path == "/unload_lora_adapter":
            self.state.adapters.pop(name)
        elif not (path / "adapter_config.json").is_file():
            return self._reply(400, {"success": False, "error_message": f"no adapter in {path}"})
        else:
            self.state.adapters[name] = path
        return self._reply(200, {"success": True})

    def _answer(self, body: dict[str, Any], shift: float) -> None:
        scores = [-(number + 1) / 10 - shift for number in range(len(WORDS))]
        if body.get("stream"):
            chunks = [{"choices": [{"delta": {"content": word}}]} for word in WORDS]
            lines = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
            return self._send(200, lines.encode(), "text/event-stream")
        if "prompt" in body:
            logprobs: dict[str, Any] = {"tokens": list(WORDS), "token_logprobs": scores}
            return self._reply(200, {"choices": [{"text": "".join(WORDS), "logprobs": logprobs}]})
        content = [{"token": word, "logprob": score} for word, score in zip(WORDS, scores, strict=True)]
        message = {"role": "assistant", "content": "".join(WORDS)}
        return self._reply(200, {"choices": [{"message": message, "logprobs": {"content": content}}]})

    def _allowed(self) -> bool:
        given = self.headers.get("authorization")
        return self.state.key is None or os.environ.get("STAND_IN_FAULT") == "open" or given == f"Bearer {self.state.key}"

    def _reply(self, status: int, body: Any) -> None:
        self._send(status, json.dumps(body).encode(), "application/json")

    def _send(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def sglang(argv: list[str]) -> State:
    """Parse the arguments of `sglang.launch_server`."""
    parser = argparse.ArgumentParser()
    for flag in ("--model-path", "--served-model-name", "--host", "--api-key", "--max-lora-rank"):
        parser.add_argument(flag)
    parser.add_argument("--port", type=int)
    parser.add_argument("--lora-paths", nargs="*", type=json.loads, default=[])
    given, rest = parser.parse_known_args(argv)
    adapters = {item["lora_name"]: Path(item["lora_path"]) for item in given.lora_paths}
    return State(given.served_model_name, given.host, given.port, given.api_key, adapters, ":", "--enable-lora" in rest)


def lmdeploy(argv: list[str]) -> State:
    """Parse the arguments of `lmdeploy serve api_server`."""
    parser = argparse.ArgumentParser()
    for flag in ("--model-name", "--server-name"):
        parser.add_argument(flag)
    parser.add_argument("--server-port", type=int)
    parser.add_argument("--api-keys", nargs="*", default=[None])
    parser.add_argument("--adapters", nargs="*", default=[])
    given, _ = parser.parse_known_args(argv)
    adapters = {name: Path(path) for name, _, path in (item.partition("=") for item in given.adapters)}
    return State(given.model_name, given.server_name, given.server_port, given.api_keys[0], adapters)


def main() -> None:
    """Serve, with a child process as real engines have."""
    fault = os.environ.get("STAND_IN_FAULT")
    sys.stderr.write("loading the weights\n")
    if fault == "start":
        sys.exit("RuntimeError: Not enough memory. Please try to increase --mem-fraction-static.")
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    if fault == "never":
        time.sleep(1000)
    state = lmdeploy(sys.argv[1:]) if sys.argv[1] == "serve" else sglang(sys.argv[1:])
    server = ThreadingHTTPServer((state.host, state.port), type("Bound", (Handler,), {"state": state}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while True:
        time.sleep(0.1)
        if fault == "later" and Path(os.environ["STAND_IN_END"]).exists():
            sys.exit("Scheduler hit an exception: CUDA error")


if __name__ == "__main__":
    main()
