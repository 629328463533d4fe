"""sft, each time with one fault."""

from __future__ import annotations

from dataclasses import replace

import torch
from swift_train.tasks import SftTask


class Constant(SftTask):
    def loss(self, output, micro):
        return (output * 0).sum() + micro.weights.sum()


class Deaf(SftTask):
    def encoder(self, tokenizer, *, stops=(), media=None):
        encoder = super().encoder(tokenizer, stops=stops, media=media)
        texts = encoder.texts
        encoder.texts = lambda raw: [text._replace(spans=()) for text in texts(raw)]
        return encoder


class Mean(SftTask):
    def loss(self, output, micro):
        return super().loss(output, micro) / len(micro.labels)


class Unweighted(SftTask):
    def loss(self, output, micro):
        return super().loss(output, replace(micro, weights=torch.ones_like(micro.weights)))


class Contaminated(SftTask):
    def forward(self, model, micro):
        return super().forward(model, replace(micro, position_ids=torch.arange(micro.input_ids.shape[1])[None]))
