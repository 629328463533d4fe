"""What every plugin and every part of one has promised: `swift plugins check swift-plugin-added-layers` as tests."""

from __future__ import annotations

from swift_testing.kit import parametrize_with_checks

OWN_FORMAT = "PEFT has neither bottleneck adapters nor ReFT: the layers are saved in its layout under a peft_type that it does not know"


@parametrize_with_checks(
    "swift-plugin-added-layers",
    expected_failures={f"check_peft_compatibility[tuner {name}]": OWN_FORMAT for name in ("bottleneck", "reft")},
)
def test_conformance(check):
    check()
