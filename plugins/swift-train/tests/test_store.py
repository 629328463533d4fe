"""Stores hold what was added, however much of it was written at once."""

from __future__ import annotations

import numpy as np
from swift_train.store import Store, StoreWriter
from swift_train.tokenise import Encoded, Span


def test_samples_come_back_however_many_tokens_they_have(tmp_path):
    lengths = [3, 40_000, 50_000, 1, 70_000, 2]
    samples = [np.arange(length, dtype=np.int32) + 7 * place for place, length in enumerate(lengths)]
    with StoreWriter(tmp_path) as writer:
        for row, ids in enumerate(samples, 1):
            writer.add(Encoded(ids, (Span(0, len(ids), 0.5),)), f"file-{row % 2}", row)
        writer.finish()
    store = Store(tmp_path)
    assert store.lengths.tolist() == lengths
    assert store.supervised.tolist() == [length - 1 for length in lengths]
    for place, ids in enumerate(samples):
        part = store.token_slice(place)
        assert store.ids[part].tolist() == ids.tolist()
        assert store.weights[store.codes[part]].tolist() == [0.0, *[0.5] * (len(ids) - 1)]
        assert store.origin(place) == f"file-{(place + 1) % 2}, row {place + 1}"
