"""Rollouts and rewards of online training: answers sampled from a server with the weights so far, and scored by reward functions."""
