"""The build context of images: Dockerfile, wheels, requirements, the Compose file against its schema, the health check as a process."""

from __future__ import annotations

import email
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from swift_http.testing import KEY, Served
from swift_plugin_image.dockerfile import PORT, USER, health_check

from swift_core.cli import invoke
from swift_core.contract import BackendSpec
from swift_core.plugins import registry

SCHEMA = Path(__file__).parent / "schemas" / "compose.json"
INSTRUCTIONS = {"FROM", "ENV", "WORKDIR", "COPY", "RUN", "VOLUME", "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"}


def instructions(path: Path) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, each with its arguments on one line."""
    text = re.sub(r"\\\n\s*", " ", path.read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


@pytest.fixture
def written(tmp_path, monkeypatch):
    """`swift image BACKEND --no-build …`: the folder."""
    monkeypatch.chdir(tmp_path)

    def write(*words: str) -> Path:
        assert invoke(["image", *words, "--no-build", "--overwrite"]) == 0
        return tmp_path / "image"

    return write


@pytest.mark.parametrize(
    "words", [("transformers", "--device", "cpu"), ("vllm", "--device", "cuda", "--python", "3.12")], ids=lambda w: w[0]
)
def test_a_dockerfile_is_complete_and_safe(written, words):
    folder = written(*words)
    found = instructions(folder / "Dockerfile")
    assert {name for name, _ in found} <= INSTRUCTIONS
    starts = [at for at, (name, _) in enumerate(found) if name == "FROM"]
    assert len(starts) == 2
    assert not [rest for name, rest in found if name == "FROM" and (":" not in rest or ":latest" in rest)]
    final = found[starts[1] :]
    assert ("USER", f"{USER}:{USER}") in final
    assert not [rest for name, rest in final[final.index(("USER", f"{USER}:{USER}")) :] if name == "RUN"]
    assert not [rest for name, rest in final if name == "RUN" and "pip" in rest]  # nothing is built in the image that is run
    assert not re.search(r"(?i)(key|token|password|secret)=", (folder / "Dockerfile").read_text())
    for name, rest in found:
        if name == "COPY" and not rest.startswith("--from=build "):
            assert (folder / rest.split()[0]).is_dir()
        if name in ("ENTRYPOINT", "CMD"):
            assert json.loads(rest)
        if name == "RUN":
            assert subprocess.run(["sh", "-n", "-c", rest], check=False).returncode == 0
    for path in re.findall(r"\b(?:swift|engine)/[\w.-]+\.txt", (folder / "Dockerfile").read_text()):
        assert [Requirement(line) for line in (folder / path).read_text().splitlines()]
    check = next(rest for name, rest in final if name == "HEALTHCHECK")
    assert json.loads(check.partition("CMD ")[2]) == health_check()


def test_the_wheels_are_all_of_ours_that_are_needed(written):
    folder = written("transformers", "--device", "cpu")
    names: set[str] = set()
    needed: set[str] = set()
    for wheel in (folder / "swift").glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            message = email.message_from_bytes(archive.read(metadata))
        names.add(message["Name"])
        required = [Requirement(text) for text in message.get_all("Requires-Dist", [])]
        needed |= {canonicalize_name(each.name) for each in required if each.marker is None or each.marker.evaluate({"extra": ""})}
    assert {"swift-core", "swift-serve", "swift-plugin-transformers", "swift-gateway", "swift-plugin-kubernetes"} <= names
    lines = (folder / "swift/requirements.txt").read_text().splitlines()
    assert needed <= names | {canonicalize_name(Requirement(line).name) for line in lines}
    assert not [line for line in lines if "+" in line or "==" not in line]  # which build of torch it is, the index decides


def test_an_engine_has_an_environment_with_its_own_requirements(written):
    folder = written("vllm", "--device", "cuda", "--python", "3.12", "--compose")
    spec = registry().entry("backend", "vllm", where="").spec
    assert isinstance(spec, BackendSpec)
    engine = next(engine for engine in spec.engines if engine.when == "cuda")
    lines = (folder / "engine/requirements.txt").read_text().splitlines()
    assert set(engine.requirements) <= set(lines)
    command = yaml.safe_load((folder / "compose.yaml").read_text())["services"]["server"]["command"]
    assert json.loads(command[command.index("--envs") + 1]) == {"vllm": "/opt/engine/bin/python"}


@pytest.mark.parametrize("words", [[], ["--gateway"], ["--gateway", "--prometheus"]], ids=["server", "gateway", "all"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_compose_file_is_valid_and_local(written, words, device):
    folder = written("transformers", "--device", device, "--compose", *words)
    made = yaml.safe_load((folder / "compose.yaml").read_text())
    jsonschema.Draft7Validator(json.loads(SCHEMA.read_text())).validate(made)
    services = made["services"]
    assert set(services) == {"server", *(word.removeprefix("--") for word in words)}
    ports = {name: service.get("ports", []) for name, service in services.items()}
    assert all(port.startswith("127.0.0.1:") for published in ports.values() for port in published)
    assert bool(ports["server"]) != ("--gateway" in words)
    assert ("deploy" in services["server"]) == (device == "cuda")
    if "--prometheus" in words:
        scrapes = yaml.safe_load(made["configs"]["prometheus"]["content"])["scrape_configs"]
        assert {job["static_configs"][0]["targets"][0].partition(":")[0] for job in scrapes} == {"server", "gateway"}
        assert {job["authorization"]["credentials_file"] for job in scrapes} == {f"/run/secrets/{name}" for name in made["secrets"]}


def test_the_commands_of_the_compose_file_are_taken(written, tmp_path):
    folder = written("transformers", "--device", "cpu", "--compose", "--gateway")
    services = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    assert invoke([*services["gateway"]["command"], "--help"]) == 0
    words = [word for word in services["server"]["command"] if not word.startswith("/models/")]
    assert invoke([words[0], str(tmp_path / "none"), *words[1:], "--dry-run"]) == 2  # no such checkpoint, and no other complaint


def test_the_health_check_sees_a_live_server(tmp_path):
    def healthy(port: int) -> bool:
        command = [sys.executable if word == "python" else word.replace(f":{PORT}/", f":{port}/") for word in health_check()]
        return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0

    with Served(KEY) as server:
        port = server.socket.getsockname()[1]
        assert healthy(port)
    assert not healthy(port)


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (["vllm", "--device", "npu"], "device"),
        (["transformers", "--gateway"], "gateway"),
        (["no-such-backend"], "no-such-backend"),
    ],
)
def test_what_can_not_be_written_is_refused(tmp_path, monkeypatch, capsys, words, where):
    monkeypatch.chdir(tmp_path)
    assert invoke(["image", *words]) != 0
    said = capsys.readouterr().err
    assert where in said
    assert "Traceback" not in said
    assert not (tmp_path / "image").exists()


def test_a_client_without_its_daemon_builds_nothing(tmp_path, monkeypatch, capsys):
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "docker").write_text("#!/bin/sh\nexit 1\n")
    (programs / "docker").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(programs))
    assert invoke(["image", "transformers", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "No builder works here" in said
    assert str(Path("image") / "Dockerfile") in said
    (programs / "podman").write_text(f'#!{shutil.which("sh", path="/bin:/usr/bin")}\necho "$@" >> {tmp_path}/called\n')
    (programs / "podman").chmod(0o755)
    assert invoke(["image", "transformers", "--device", "cpu", "--overwrite", "--tag", "mine:1"]) == 0
    assert (tmp_path / "called").read_text().splitlines() == ["info", "build --tag mine:1 image"]
    assert os.environ["PATH"] == str(programs)
