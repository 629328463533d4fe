"""The HTTP reference has every route that the client's callers and the acceptance checks use, and names checks that exist."""

from __future__ import annotations

import re
from pathlib import Path

from swift_serve.acceptance import GUARDED, INFORMATIVE
from swift_serve.http_routes import ROUTES
from swift_testing.kit.collect import all_checks

ROOT = Path(__file__).parent.parent
SOURCES = [*ROOT.glob("plugins/swift-serve/src/**/*.py"), *ROOT.glob("plugins/swift-testing/src/swift_testing/kit/**/*.py")]


def documented(path: str) -> bool:
    full = path.removeprefix("..") if path.startswith("..") else f"/v1/{path.removeprefix('/')}"
    elsewhere = (
        "/load_lora_adapter",
        "/unload_lora_adapter",
        "/classify",
        "/score",
        "/rerank",
        "/v2/rerank",
        "/pooling",
        "/collective_rpc",
        "/reset_prefix_cache",
        "/update_weights_from_disk",
    )  # SGLang's, vLLM's
    return full in {route.path for route in ROUTES} or full in elsewhere


def test_every_route_that_is_called_is_in_the_table():
    called = set(GUARDED) | set(INFORMATIVE)
    for source in SOURCES:
        called |= set(re.findall(r'(?:post|command|status|serves|_request)\((?:"(?:GET|POST)", )?"([./][^"]*)"', source.read_text()))
    assert len(called) > 8
    assert [path for path in sorted(called) if not documented(path)] == []


def test_the_checks_of_a_route_exist():
    assert {name for route in ROUTES for name in route.checks} <= {check.name for check in all_checks()}
