"""ddp, each time with one fault."""

from __future__ import annotations

from dataclasses import replace

import torch
from swift_plugin_transformers.ddp import DdpStrategy


class Halved(DdpStrategy):
    def accumulate(self, micros, task, weight, train=True):
        return super().accumulate(micros, task, weight / self.data_size, train)


class Forgetful(DdpStrategy):
    def load(self, folder):
        state = self.optimizer.state_dict()
        super().load(folder)
        self.optimizer.load_state_dict(state)


class Joined(DdpStrategy):
    def accumulate(self, micros, task, weight, train=True):
        joined = [replace(micro, position_ids=torch.arange(micro.input_ids.shape[1])[None]) for micro in micros]
        return super().accumulate(joined, task, weight, train)


class Stale(DdpStrategy):
    def build(self, load, optimizer):
        super().build(load, optimizer)
        self.first = {name: tensor.clone() for name, tensor in super().weights()}

    def weights(self, names=None):
        return ((name, self.first[name]) for name, _ in super().weights(names))
