"""Multi-node runs: every launcher starts this package's `__main__` on each node.

A node first compares its environment with the others' (`preflight`), then starts its workers with torch's elastic launcher. All nodes
share one run folder, so that folder, the model and the data must be on storage that every node can access.
"""
