"""Several machines: each starts `python -m swift_nodes RUN_FOLDER`, whichever launcher started that.

A node first compares itself with the others (`preflight`), then hands its workers to torch's elastic launcher. All nodes read the one
`run.json` and write into the one run folder, so that folder, the model and the data lie where every node sees them.
"""
