"""ms-swift's `swift export` does what it means here, and what has to be done otherwise is said with the new spelling."""

from __future__ import annotations

import json

import pytest
from swift_convert.commands.ms_swift import export

from swift_core.cli import invoke as run
from swift_core.contract.errors import UsageError


@pytest.mark.parametrize(
    ("words", "verb", "rest"),
    [
        ("m --to gguf", "export", "m --to gguf"),
        ("--model m --quant_method awq --quant_bits 4", "quantize", "--model m --quant_method awq --quant_bits 4"),
        ("--quant-method=gptq --max_length 512", "quantize", "--quant-method=gptq --calibration.max-length 512"),
        ("--adapters a --push_to_hub true --hub_model_id o/n --hub_token T --use_hf false", "push", "a ms:o/n"),
        ("--model m --push_to_hub --hub_model_id o/n --hub_private_repo true", "push", "m hf:o/n --private"),
        ("--model m --torch_dtype bfloat16 --output_dir o", "export", "--model m --torch_dtype bfloat16 --output_dir o --to safetensors"),
        ("--adapters a --merge_lora true", "merge", "--adapters a"),
        ("--adapters a --merge_lora --output_dir o", "merge", "--adapters a --output_dir o"),
        ("m --merge_lora false --push_to_hub false --to gguf", "export", "m --to gguf"),
        ("m --to_ollama true", "export", "m --to ollama"),
    ],
)
def test_the_verb_and_its_words(words, verb, rest):
    assert export(words.split()) == (verb, rest.split())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--adapters a --merge_lora true --quant_method awq", "swift merge"),
        ("m --quant_method awq --to gguf", "swift quantize"),
        ("m --push_to_hub true", "swift push"),
        ("--adapters a --merge_lora true --push_to_hub true --hub_model_id o/n", "swift push"),
        ("m --merge_lora maybe", "true"),
    ],
)
def test_what_is_done_otherwise_is_said(words, says):
    with pytest.raises(UsageError) as refused:
        export(words.split())
    assert says in refused.value.hint


def test_the_command_line_quantizes(tiny_model, capsys):
    words = ["export", "--model", str(tiny_model), "--quant_method", "bnb", "--quant_bits", "8", "--dry-run"]
    assert run(words) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["verb"] == "quantize"
    assert shown["parts"]["quantizer"]["name"] == "bnb"
    assert shown["parts"]["quantizer"]["options"]["bits"] == 8
