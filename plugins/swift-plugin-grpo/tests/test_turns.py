"""Answers of several turns: schedulers, environments and tools reply, and only what the model has sampled is trained."""

from __future__ import annotations

import json
from dataclasses import replace
from shutil import copytree

import pytest
from swift_http.tools import PARSERS
from swift_rollouts.engine import Engine
from swift_rollouts.generation import Generation, evaluation_file, generation_file
from swift_rollouts.options import RolloutOptions
from swift_rollouts.prompts import PromptFacts
from swift_rollouts.turns.choices import scheduler_choice, tool_choices
from swift_rollouts.turns.conversations import Conversations
from swift_rollouts.turns.process import TurnProcess, check_turns
from swift_rollouts.turns.tools import tool_schemas
from swift_testing.scripted import ScriptedServer, reply as send
from swift_train.chat_template import ChatTemplate
from swift_train.testing import run_training, training_run, write_rows
from transformers import AutoTokenizer

from swift_core.contract import Server, SwiftError, UsageError
from tests.in_process_server import Served

CODE = '''
def again(messages, hint, turns):
    """Ask for another answer."""
    return f"Another one: {hint}" if turns < 3 else None

def raises(messages):
    return 1 / 0

def number(messages):
    return 7

def hangs(messages):
    import time
    time.sleep(3600)

class Guess:
    """Guess a number; the reward is how near the length of the answer is."""

    def __init__(self, secret):
        self.secret, self.tries = int(secret), 0

    def step(self, answer):
        self.tries += 1
        return f"{len(answer)} is not it.", 1 / (1 + abs(len(answer) - self.secret)), self.tries == 2

class Strange:
    def step(self, answer):
        return "no tuple"

def add(a: int, b: int) -> str:
    """Add two numbers.

    Args:
        a: first number.
        b: second number.
    """
    return str(a + b)

def untold(a):
    return a

def last_length(turns):
    return [float(len(each)) for each in turns]
'''


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    path = tmp_path_factory.mktemp("code") / "code.py"
    path.write_text(CODE)
    return str(path)


@pytest.fixture(scope="module")
def ending(tiny_model, tmp_path_factory):
    """The tiny model behind a URL; every fourth token ends an answer, so that it says something and stops."""
    folder = tmp_path_factory.mktemp("ending") / "model"
    copytree(tiny_model, folder)
    config = json.loads((folder / "generation_config.json").read_text())
    size = json.loads((folder / "config.json").read_text())["vocab_size"]
    (folder / "generation_config.json").write_text(json.dumps({**config, "eos_token_id": list(range(3, size, 4))}))
    made = Served(folder, tmp_path_factory.getbasetemp())
    yield folder, made.url
    made.close()


@pytest.fixture
def trained(ending, code, tmp_path):
    """Trains two steps on four prompts, and returns metrics and generations."""
    model, url = ending
    rows = [
        {"messages": [{"role": "user", "content": f"Guess {number}."}], "hint": f"not {number}", "secret": str(number)}
        for number in range(4)
    ]
    path = write_rows(tmp_path / "rows.jsonl", rows)

    def train(**options):
        settings = {
            "max_steps": 2, "learning_rate": 1e-2, "schedule": "constant", "num_generations": 4, "batch_size": 8,
            "max_completion_length": 200, "shuffle": False, "rollout": url, "modules": [code], **options,
        }  # fmt: skip
        validation = path if settings.pop("validation", False) else None
        run = training_run(model, path, task="grpo", validation=validation, **settings)
        metrics = run_training(replace(run, server=Server(url, ("m",))), tmp_path / "run")
        return metrics, [Generation.read(generation_file(tmp_path / "run", number)) for number in range(2)]

    return train


def test_a_function_replies_and_only_sampled_tokens_are_trained(trained, ending):
    metrics, generations = trained(multi_turn_scheduler="again", reward_funcs=["last_length"])
    tokenizer = AutoTokenizer.from_pretrained(ending[0])
    answers = [answer for generation in generations for group in generation.groups for answer in group.answers]
    assert {len(answer.turns) for answer in answers} >= {5}  # three answers and two replies
    assert [turn["role"] for turn in max(answers, key=lambda each: len(each.turns)).turns] == ["assistant", "user"] * 2 + ["assistant"]
    for generation in generations:
        for group in generation.groups:
            for answer in group.answers:
                replied = tokenizer.decode([token for token, own in zip(answer.ids, answer.mask, strict=True) if not own])
                assert replied.count(f"Another one: not {group.prompt}") == len(answer.turns) // 2
                assert answer.sampled < len(answer.ids) or len(answer.turns) == 1
    trained_steps = [line for line in metrics if "loss" in line]
    assert max(abs(line["kl_engine"]) for line in trained_steps) < 1e-6  # the trainer sees what the engine saw, token by token
    assert trained_steps[0]["completions/length"] == pytest.approx(sum(answer.sampled for answer in answers[:8]) / 8)


def test_an_environment_rewards_and_ends(trained):
    _, generations = trained(multi_turn_scheduler="Guess", reward_funcs=["environment"], validation=True, num_generations_eval=1)
    answers = [answer for generation in generations for group in generation.groups for answer in group.answers]
    assert all(len(answer.turns) <= 3 for answer in answers)
    assert all(answer.rewards == [answer.environment] for answer in answers)
    assert {answer.environment > 0 for answer in answers} == {True}


def test_held_out_prompts_are_answered(trained, tmp_path):
    trained(reward_funcs=["last_length"], multi_turn_scheduler="again", validation=True, num_generations_eval=2)
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    held = {line["step"]: line for line in lines if "heldout_reward" in line}
    assert list(held) == [0, 2]
    for step, line in held.items():
        found = Generation.read(evaluation_file(tmp_path / "run", step))
        rewards = [answer.rewards[0] for group in found.groups for answer in group.answers]
        assert len(rewards) == 8
        assert line["heldout_reward"] == pytest.approx(sum(rewards) / len(rewards))


class Spoken:
    """A server that says given texts in turn, as tokens of a tokenizer."""

    def __init__(self, tokenizer, texts):
        self.tokenizer, self.texts = tokenizer, list(texts)

    def __call__(self, handler):
        body = handler.asked["body"]
        ids = self.tokenizer(self.texts.pop(0), add_special_tokens=False)["input_ids"]
        text = self.tokenizer.decode(ids, skip_special_tokens=True)
        choice = {"token_ids": ids, "logprobs": {"token_logprobs": [-1.0] * len(ids)}, "text": text, "finish_reason": "stop"}
        send(handler, 200, {"choices": [{**choice, "prompt_token_ids": body["prompt"]}]})


def test_tools_are_called(tiny_model, code):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    template = ChatTemplate(tokenizer)
    end = template.stops[0]
    calls = [
        '<tool_call>{"name": "add", "arguments": {"a": 2, "b": 3}}</tool_call>'
        '<tool_call>{"name": "add", "arguments": {"a": "x", "b": 1}}</tool_call>',
        '<tool_call>{"name": "sub", "arguments": {}}</tool_call>',
    ]
    choices = tool_choices([f"{code}:add"], [])
    schemas = tool_schemas(choices, 60)
    assert schemas[0]["function"]["parameters"]["required"] == ["a", "b"]
    facts = [PromptFacts([{"role": "user", "content": "2 + 3?"}], {})]
    with ScriptedServer() as server, TurnProcess(None, choices, 60) as process:
        server.answer = Spoken(tokenizer, [f"Let me see. {calls[0]}{end}", f"{calls[1]}{end}", f"It is 5.{end}"])
        options = RolloutOptions(max_completion_length=2000)
        conversations = Conversations(
            engine=Engine(Server(server.url, ("m",)), options, 1 << 20), process=process, template=template, facts=facts, tools=schemas,
            parser=PARSERS["hermes"], max_turns=5,
        )  # fmt: skip
        (answer,) = conversations.answers(0, [1, 2], 1, model="m", seed=3)
        asked = [seen["body"] for seen in server.seen]
    assert [message["role"] for message in answer.turns] == ["assistant", "tool", "tool", "assistant", "tool", "assistant"]
    assert answer.turns[0]["content"] == "Let me see."
    results = [message["content"] for message in answer.turns if message["role"] == "tool"]
    assert results[0] == "5"
    assert results[1].startswith("Error: TypeError")
    assert results[2] == "Error: there is no tool 'sub'; tools: add."
    assert answer.text == "It is 5."
    assert [len(body["prompt"]) for body in asked] == sorted(len(body["prompt"]) for body in asked)
    assert asked[2]["prompt"] == [1, 2, *answer.ids[: len(asked[2]["prompt"]) - 2]]  # what was sampled is sent again as it was
    assert len({body["seed"] for body in asked}) == 3


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("raises", "the scheduler 'raises' raised ZeroDivisionError"),
        ("number", "the scheduler 'number' returned 7"),
        ("Strange", "the scheduler 'Strange' returned 'no tuple'"),
        ("hangs", "longer than 0.5 s for a reply"),
    ],
)
def test_a_scheduler_that_fails_ends_the_run(trained, name, said):
    with pytest.raises(SwiftError, match=said):
        trained(multi_turn_scheduler=name, reward_funcs=["last_length"], turn_timeout=0.5 if name == "hangs" else 60.0)


@pytest.mark.parametrize(
    ("scheduler", "tools", "said"),
    [
        ("agein", [], "there is no scheduler 'agein'"),
        ("nothing.py:reply", [], "there is no file"),
        ("", ["CODE:sub"], "has no function 'sub'"),
        ("", ["json:JSONDecoder"], "is not a function"),
    ],
)
def test_what_is_no_scheduler_or_tool(code, scheduler, tools, said):
    with pytest.raises(UsageError, match=said):
        check_turns(scheduler_choice(scheduler, []), tool_choices([name.replace("CODE", code) for name in tools], []), 60)


def test_a_tool_without_a_description_is_refused(code):
    with pytest.raises(UsageError, match="the tool 'untold' has no schema"):
        tool_schemas(tool_choices([f"{code}:untold"], []), 60)
