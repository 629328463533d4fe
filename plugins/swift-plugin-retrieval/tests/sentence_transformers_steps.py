"""Losses of steps of training by sentence-transformers, and the vectors of a saved model: run in an environment that has it.

python sentence_transformers_steps.py train MODEL ROWS.json LOSS → a JSON list of losses
python sentence_transformers_steps.py encode MODEL TEXTS.json → a JSON list of vectors
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer, losses


def train(folder: str, file: str, name: str) -> list[float]:
    """Return the loss of each batch of the file, trained with AdamW at 1e-3."""
    steps = json.loads(Path(file).read_text())
    model = SentenceTransformer(folder, device="cpu")
    loss = {
        "infonce": lambda: losses.MultipleNegativesRankingLoss(model, scale=20.0),
        "cosent": lambda: losses.CoSENTLoss(model, scale=20.0),
        "cosine_similarity": lambda: losses.CosineSimilarityLoss(model),
        "matryoshka": lambda: losses.MatryoshkaLoss(model, losses.MultipleNegativesRankingLoss(model, scale=20.0), [16, 8]),
    }[name]()
    model.eval()  # no dropout
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    found = []
    for step in steps:
        features = [model.tokenize(texts) for texts in step["columns"]]
        value = loss(features, torch.tensor(step["labels"]))
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        found.append(float(value.detach()))
    return found


if __name__ == "__main__":
    if sys.argv[1] == "train":
        print(json.dumps(train(*sys.argv[2:])))
    else:
        texts = json.loads(Path(sys.argv[3]).read_text())
        print(json.dumps(SentenceTransformer(sys.argv[2], device="cpu").encode(texts).tolist()))
