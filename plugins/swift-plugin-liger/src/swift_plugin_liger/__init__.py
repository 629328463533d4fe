"""Liger's kernels: the entry point `liger` in the group `swift.kernels`."""
