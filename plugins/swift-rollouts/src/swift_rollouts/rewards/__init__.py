"""Rewards: scores of sampled answers, by name or by functions of the user."""
