"""The served answers are those of the model, and `swift` starts and stops the server."""

from __future__ import annotations

import pytest
import torch
from swift_plugin_acme.backend import KEY_VARIABLE, Acme
from swift_plugin_acme.options import AcmeOptions
from swift_serve.client import Client
from swift_testing.backends import KEY, command
from transformers import AutoModelForCausalLM, AutoTokenizer

from swift_core import serve

ASK = [{"role": "user", "content": "What is the capital of France?"}]


def test_the_key_is_not_an_argument():
    made = command(Acme(AcmeOptions()), api_key=KEY)
    assert made.env[KEY_VARIABLE] == KEY
    assert KEY not in " ".join(made.argv)


@pytest.fixture(scope="module")
def server(tiny_model, tmp_path_factory):
    with serve(str(tiny_model), backend="acme", runs=str(tmp_path_factory.mktemp("runs"))) as running:
        yield running


def test_it_answers_what_the_model_generates(server, tiny_model):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    ids = tokenizer.apply_chat_template(ASK, add_generation_prompt=True, return_tensors="pt", return_dict=False)
    model = AutoModelForCausalLM.from_pretrained(tiny_model).eval()
    with torch.inference_mode():
        want = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12)[0, ids.shape[1] :]
    given = Client(server).complete(ASK, max_tokens=12, temperature=0)
    assert given == tokenizer.decode(want, skip_special_tokens=True)


def test_a_stream_gives_the_same_answer(server):
    pieces = list(Client(server).chat(ASK, max_tokens=12, temperature=0))
    assert len(pieces) > 1
    assert "".join(pieces) == Client(server).complete(ASK, max_tokens=12, temperature=0)


def test_a_seed_makes_sampling_reproducible(server):
    samples = [Client(server).complete(ASK, max_tokens=12, temperature=1, seed=seed) for seed in (1, 1, 2)]
    assert samples[0] == samples[1] != samples[2]
