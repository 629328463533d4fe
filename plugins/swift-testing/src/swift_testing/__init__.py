"""What plugin authors test with: fixtures (`rig`) and the conformance kit."""

from __future__ import annotations
