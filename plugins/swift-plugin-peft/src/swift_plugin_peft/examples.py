"""Options for the conformance kit's tiny model (hidden size 64), where a method's defaults only fit full-size models."""

from __future__ import annotations

from swift_testing.kit import Example

EXAMPLES = {
    "fourierft": Example(options={"frequencies": 50}),
    "miss": Example(options={"rank": 16}),
    "oft": Example(options={"block_size": 16}),
    "peft": Example(options={"method": "gralora", "config": {"r": 8, "alpha": 16}}),
    "randlora": Example(options={"rank": 4}),
    "vblora": Example(options={"vector_length": 16}),
    "vera": Example(options={"rank": 16}),
}
