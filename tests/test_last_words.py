"""What engines say at their end, as their logs have it."""

from __future__ import annotations

import pytest
from swift_environments.log_tail import last_error_in

TRACEBACK = """INFO 11-24 08:46:40 [api_server.py:10] vLLM API server version 0.32.0
Traceback (most recent call last):
  File "/vllm/engine/arg_utils.py", line 1955, in create_model_config
    return ModelConfig(
           ^^^^^^^^^^^^
pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
  Value error, User-specified max_model_len (999999) is greater than the derived max_model_len (8192).
    For further information visit https://errors.pydantic.dev/2.14/v/value_error
"""
TWO = """(EngineCore pid=7) ERROR 11-24 08:46:40 [core.py:1] Traceback (most recent call last):
(EngineCore pid=7) ERROR 11-24 08:46:40 [core.py:1]   File "/vllm/core.py", line 1, in run
(EngineCore pid=7) ERROR 11-24 08:46:40 [core.py:1] ValueError: No available memory for the cache blocks.
Traceback (most recent call last):
  File "/vllm/api_server.py", line 1, in main
RuntimeError: Engine core initialization failed. See root cause above.
[W1124] Warning: destroy_process_group() was not called
"""


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (TRACEBACK, ["ValidationError: 1 validation error for ModelConfig Value error, User-specified max_model_len (999999) is greater"]),
        (TWO, ["ValueError: No available memory for the cache blocks. … RuntimeError: Engine core initialization failed."]),
        ("loading\nOut of luck\n", ["Last line in the log: Out of luck"]),
        ('loading\n{"event": "error", "message": "no weights", "hint": "Look."}\nbye\n', ["no weights. Look."]),
        ("", ["The log is empty."]),
    ],
    ids=["one", "two", "none", "ours", "empty"],
)
def test_last_words(log, said, tmp_path):
    path = tmp_path / "log.txt"
    path.write_text(log)
    for words in said:
        assert words in last_error_in(path)


def test_no_log(tmp_path):
    assert last_error_in(tmp_path / "log.txt") == "The log is empty."
