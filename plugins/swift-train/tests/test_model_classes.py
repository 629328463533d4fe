"""The class that loads a model follows from its config.json, its family and the code of its repository."""

from __future__ import annotations

import json

import pytest
import transformers
from swift_formats.head import of_model
from swift_train.model_classes import language_model_class, reads_media

from swift_core.checkpoints import UNKNOWN
from swift_core.contract import ModelFamily, Ref

VISION = ModelFamily(name="seen", summary="Seen", architectures=(), modalities=("text", "image"))
OWN = ModelFamily(name="own", summary="Own", architectures=(), classes={"AutoModelForSeq2SeqLM": Ref("own:Model")})


@pytest.mark.parametrize(
    ("config", "family", "expected"),
    [
        ({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}, UNKNOWN, "AutoModelForCausalLM"),
        ({"model_type": "llama"}, UNKNOWN, "AutoModelForCausalLM"),
        ({"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}, UNKNOWN, "AutoModelForSeq2SeqLM"),
        ({"model_type": "t5", "is_encoder_decoder": True}, UNKNOWN, "AutoModelForSeq2SeqLM"),
        ({"model_type": "bart", "architectures": ["BartForConditionalGeneration"]}, UNKNOWN, "AutoModelForSeq2SeqLM"),
        ({"model_type": "bart", "architectures": ["BartForCausalLM"]}, UNKNOWN, "AutoModelForCausalLM"),
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, UNKNOWN, "AutoModelForMaskedLM"),
        ({"model_type": "bert", "architectures": ["BertLMHeadModel"]}, UNKNOWN, "AutoModelForCausalLM"),
        ({"model_type": "aya_vision", "architectures": ["AyaVisionForConditionalGeneration"]}, UNKNOWN, "AutoModelForMultimodalLM"),
        ({"model_type": "llama4", "architectures": ["Llama4ForCausalLM"]}, VISION, "AutoModelForCausalLM"),
        ({"model_type": "emu3_text_model", "architectures": ["Emu3ForCausalLM"]}, UNKNOWN, "Emu3ForCausalLM"),
        ({"model_type": "moon", "architectures": ["MoonModel"]}, OWN, "AutoModelForSeq2SeqLM"),
        ({"model_type": "moon", "is_encoder_decoder": True}, OWN, "AutoModelForSeq2SeqLM"),
        ({"model_type": "moon", "auto_map": {"AutoModelForImageTextToText": "m.M"}}, VISION, "AutoModelForImageTextToText"),
        ({"model_type": "moon", "auto_map": {"AutoModelForCausalLM": "m.M"}}, VISION, "AutoModelForCausalLM"),
        ({}, UNKNOWN, "AutoModelForCausalLM"),
    ],
)
def test_the_class_of_a_language_model(config, family, expected):
    assert language_model_class(config, family) == expected
    assert hasattr(transformers, expected)
    assert reads_media(expected) == (expected in ("AutoModelForMultimodalLM", "AutoModelForImageTextToText"))


@pytest.mark.parametrize(
    ("name", "head"), [("MarianMTModel", ""), ("EncoderDecoderModel", ""), ("T5Model", "hidden"), ("GPT2LMHeadModel", "")]
)
def test_names_that_end_with_model_are_not_all_without_an_output_layer(name, head, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"architectures": [name]}))
    assert of_model(tmp_path) == head
