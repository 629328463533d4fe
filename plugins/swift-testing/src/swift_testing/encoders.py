"""Tiny random encoders, whose tokens attend to all others: BERT, RoBERTa, XLM-R and ModernBERT, with a tokenizer that encodes pairs."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

KINDS = ("bert", "roberta", "xlm-r", "modernbert")
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_CLASSES = {"bert": "Bert", "roberta": "Roberta", "xlm-r": "XLMRoberta", "modernbert": "ModernBert"}


def write_encoder(folder: Path, kind: str = "bert") -> Path:
    """Write a model that predicts masked words, with its tokenizer; return the folder.

    Args:
        folder: where.
        kind: one of `KINDS`. Only BERT has two kinds of segments.
    """
    import torch
    import transformers

    tokenizer = _tokenizer()
    sizes: dict[str, Any] = {"vocab_size": len(tokenizer), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 64, "pad_token_id": 0}
    if kind == "modernbert":
        ids = {"cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}
        sizes |= {"global_attn_every_n_layers": 2, "local_attention": 16, **ids}
    else:
        segments = {} if kind == "bert" else {"type_vocab_size": 1, "max_position_embeddings": 514}
        sizes |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, **segments}
    config: Any = getattr(transformers, f"{_CLASSES[kind]}Config")(**sizes)
    torch.manual_seed(0)
    model: Any = getattr(transformers, f"{_CLASSES[kind]}ForMaskedLM")(config)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    characters = string.ascii_letters + string.digits + string.punctuation
    words = [*_SPECIAL, *characters, *(f"##{character}" for character in characters)]
    tokenizer: Any = Tokenizer(models.WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), _SPECIAL, strict=True))
    kind: Any = PreTrainedTokenizerFast
    return kind(tokenizer_object=tokenizer, model_max_length=512, **names)
