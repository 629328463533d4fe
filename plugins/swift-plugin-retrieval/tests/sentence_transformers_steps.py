"""Losses of steps of training by sentence-transformers, and the vectors of a saved model: run in an environment that has it.

python sentence_transformers_steps.py train MODEL ROWS.json LOSS → a JSON list of losses
python sentence_transformers_steps.py encode MODEL TEXTS.json → a JSON list of vectors
python sentence_transformers_steps.py rerank MODEL ROWS.json LOSS → a JSON list of losses of a cross encoder
python sentence_transformers_steps.py predict MODEL PAIRS.json → a JSON list of scores
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer, losses
from sentence_transformers.cross_encoder import losses as ranking
from torch import nn


def train(folder: str, file: str, name: str) -> list[float]:
    """Return the loss of each batch of the file, trained with AdamW at 1e-3."""
    steps = json.loads(Path(file).read_text())
    model = SentenceTransformer(folder, device="cpu")
    loss = {
        "infonce": lambda: losses.MultipleNegativesRankingLoss(model, scale=20.0),
        "cosent": lambda: losses.CoSENTLoss(model, scale=20.0),
        "cosine_similarity": lambda: losses.CosineSimilarityLoss(model),
        "contrastive": lambda: losses.ContrastiveLoss(model, margin=0.5),
        "online_contrastive": lambda: losses.OnlineContrastiveLoss(model, margin=0.5),
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


def rerank(folder: str, file: str, name: str) -> list[float]:
    """Return the loss of each batch of queries with documents, (query, documents, labels), trained with AdamW at 1e-3."""
    model = CrossEncoder(folder, device="cpu")
    loss = {
        "pointwise": lambda: ranking.BinaryCrossEntropyLoss(model),
        "listnet": lambda: ranking.ListNetLoss(model),
    }[name]()
    model.eval()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    found = []
    for rows in json.loads(Path(file).read_text()):
        queries, documents = [row["query"] for row in rows], [row["documents"] for row in rows]
        labels = [torch.tensor(row["labels"], dtype=torch.float32) for row in rows]
        if name == "pointwise":
            flat = [query for query, own in zip(queries, documents, strict=True) for _ in own]
            value = loss([flat, [text for own in documents for text in own]], torch.cat(labels))
        else:
            value = loss([queries, documents], labels)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        found.append(float(value.detach()))
    return found


if __name__ == "__main__":
    if sys.argv[1] == "train":
        print(json.dumps(train(*sys.argv[2:])))
    elif sys.argv[1] == "rerank":
        print(json.dumps(rerank(*sys.argv[2:])))
    elif sys.argv[1] == "predict":
        pairs = [tuple(pair) for pair in json.loads(Path(sys.argv[3]).read_text())]
        print(json.dumps(CrossEncoder(sys.argv[2], device="cpu").predict(pairs, activation_fn=nn.Identity()).tolist()))
    else:
        texts = json.loads(Path(sys.argv[3]).read_text())
        print(json.dumps(SentenceTransformer(sys.argv[2], device="cpu").encode(texts).tolist()))
