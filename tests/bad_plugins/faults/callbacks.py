"""Callbacks: one that draws a random number, one that saves its state and does not restore it."""

from __future__ import annotations

from swift_train.callbacks import Callback


class Noisy(Callback):
    def __init__(self, options=None):
        pass

    def on_step_end(self, training):
        import torch

        training.log(noise=float(torch.rand(())))


class Unsaved(Callback):
    def __init__(self, options=None):
        self.steps = 0

    def on_step_end(self, training):
        self.steps += 1

    def state_dict(self):
        return {"steps": self.steps}
