"""sft, each time with one fault."""

from __future__ import annotations

from swift_train.tasks import SftTask


class Constant(SftTask):
    def loss(self, output, micro):
        return (output * 0).sum() + micro.weights.sum()


class Deaf(SftTask):
    def encoder(self, tokenizer, *, stops=(), media=None):
        encoder = super().encoder(tokenizer, stops=stops, media=media)
        scripts = encoder.scripts
        encoder.scripts = lambda raw: [script._replace(spans=()) for script in scripts(raw)]
        return encoder
