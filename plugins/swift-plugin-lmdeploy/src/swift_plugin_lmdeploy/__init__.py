"""LMDeploy as a serving backend."""
