"""The Dockerfile of an image: built in one stage, and copied into a second one without build tools, run by a user who is not root."""

from __future__ import annotations

import json

from swift_plugin_image.contents import CPU_INDEX, Contents

USER = 10001  # user and group; a number, so that `runAsNonRoot` of Kubernetes can be checked
SWIFT, ENGINE = "/opt/swift", "/opt/engine"
MODELS = "/models"  # the volume of the weights
PORT = 8000
_HEALTH = f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{PORT}/health', timeout=4)"


def engine_python(contents: Contents) -> str:
    """Return the interpreter of the engine's environment in the image; '' if it has none of its own."""
    return f"{ENGINE}/bin/python" if contents.engine else ""


def health_check() -> list[str]:
    """Return the command that fails while the server does not answer."""
    return ["python", "-c", _HEALTH]


def dockerfile(contents: Contents, *, base: str = "") -> str:
    """Return the text of the Dockerfile.

    Args:
        contents: what the image holds.
        base: image of both stages; empty: `python:VERSION-slim`.
    """
    base = base or f"python:{contents.python}-slim"
    lines = [
        f"# {contents.backend} for {contents.device}, written by swift image",
        f"FROM {base} AS build",
        "ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1",
        "WORKDIR /build",
        "COPY swift/ swift/",
        f"RUN python -m venv {SWIFT} \\",
        f" && {SWIFT}/bin/pip install{_index(contents)} -r swift/requirements.txt \\",
        f" && {SWIFT}/bin/pip install --no-deps --no-index swift/*.whl",
        *_engine(contents),
        "",
        f"FROM {base}",
        *_compiler(contents),
        f"RUN groupadd --gid {USER} swift \\",
        f" && useradd --uid {USER} --gid {USER} --create-home --shell /usr/sbin/nologin swift",
        f"COPY --from=build {SWIFT} {SWIFT}",
        *([f"COPY --from=build {ENGINE} {ENGINE}"] if contents.engine else []),
        f"ENV PATH={SWIFT}/bin:$PATH PYTHONUNBUFFERED=1 SWIFT_OFFLINE=1 HF_HUB_OFFLINE=1",
        f"VOLUME {MODELS}",
        f"USER {USER}:{USER}",
        "WORKDIR /home/swift",
        f"EXPOSE {PORT}",
        "STOPSIGNAL SIGTERM",
        f"HEALTHCHECK --interval=10s --timeout=5s --start-period=600s --retries=6 CMD {json.dumps(health_check())}",
        'ENTRYPOINT ["swift"]',
        'CMD ["--help"]',
    ]
    return "\n".join(lines) + "\n"


def _engine(contents: Contents) -> list[str]:
    if contents.engine is None:
        return []
    pip = f"{ENGINE}/bin/pip install"
    index = f" --extra-index-url {contents.engine.index}" if contents.engine.index else ""
    return [
        "COPY engine/ engine/",
        f"RUN python -m venv {ENGINE} \\",
        f" && {pip}{index} -r engine/requirements.txt \\",
        *([f" && {pip}{index} --no-deps -r engine/no-deps.txt \\"] if contents.engine.no_deps else []),
        f" && {pip} --no-deps --no-index engine/*.whl",
    ]


def _index(contents: Contents) -> str:
    """Return the index of torch for CPUs; in an image with an engine of its own, `swift` needs no accelerator."""
    return f" --extra-index-url {CPU_INDEX}" if contents.device == "cpu" or contents.engine else ""


def _compiler(contents: Contents) -> list[str]:
    """Return the installation of a C compiler, which Triton needs at run time on accelerators."""
    if contents.device == "cpu":
        return []
    return [
        "RUN apt-get update \\",
        " && apt-get install --yes --no-install-recommends gcc libc6-dev \\",
        " && rm -rf /var/lib/apt/lists/*",
    ]
