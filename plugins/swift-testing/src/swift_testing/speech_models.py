"""Tiny random speech-to-text checkpoints (encoder-decoders), each with its real processor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from swift_testing.small_configs import small

_MELS, _SECONDS = 16, 4
_END, _START = "<|endoftext|>", "<|startoftranscript|>"
_MARKS = (_START, "<|en|>", "<|translate|>", "<|transcribe|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>")


def write_speech_model(folder: Path, model_type: str, *, seed: int = 0) -> Path:
    """Write a checkpoint of a model type of `SPEECH` with its processor; the same seed gives the same weights."""
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForSpeechSeq2Seq, GenerationConfig

    processor = SPEECH[model_type]()
    tokenizer = processor.tokenizer
    config_class = CONFIG_MAPPING[model_type]
    start = tokenizer.convert_tokens_to_ids(_START if model_type == "whisper" else tokenizer.eos_token)
    tokens = {
        "bos_token_id": tokenizer.eos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id,
        "decoder_start_token_id": start,
    }  # fmt: skip
    fields = {**small(config_class), **tokens, "vocab_size": len(tokenizer), "max_target_positions": 320, "dropout": 0.0}
    if model_type == "whisper":
        fields |= {"num_mel_bins": _MELS, "max_source_positions": 50 * _SECONDS, "suppress_tokens": None, "begin_suppress_tokens": None}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        auto: Any = AutoModelForSpeechSeq2Seq
        model = auto.from_config(config_class(**fields)).float()
        for name, parameter in model.named_parameters():
            if parameter.dim() >= 2 and float(parameter.detach().std()) < 0.06 and "positions" not in name:
                torch.nn.init.normal_(parameter, std=0.08)
    model.generation_config = GenerationConfig(**tokens)  # type: ignore[no-untyped-call]
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _whisper() -> Any:
    from transformers import WhisperFeatureExtractor, WhisperProcessor, WhisperTokenizer

    from swift_testing.rig import tiny_tokenizer

    model = json.loads(tiny_tokenizer().backend_tokenizer.to_str())["model"]
    merges = [tuple(pair) if isinstance(pair, list) else tuple(pair.split()) for pair in model["merges"]]
    tokenizer = WhisperTokenizer(vocab=model["vocab"], merges=merges, pad_token=_END)
    tokenizer.add_special_tokens({"extra_special_tokens": list(_MARKS)})
    tokenizer.set_prefix_tokens()
    extractor = WhisperFeatureExtractor(feature_size=_MELS, chunk_length=_SECONDS)  # type: ignore[no-untyped-call]
    return WhisperProcessor(feature_extractor=extractor, tokenizer=tokenizer)  # type: ignore[no-untyped-call]


def _moonshine() -> Any:
    from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2Processor

    from swift_testing.rig import tiny_tokenizer

    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = None
    extractor = Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True)  # type: ignore[no-untyped-call]
    return Wav2Vec2Processor(feature_extractor=extractor, tokenizer=tokenizer)  # type: ignore[no-untyped-call]


SPEECH = {"whisper": _whisper, "moonshine": _moonshine}
