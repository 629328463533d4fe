"""axolotl's data sets: `datasets: [{path, type, …}]`, `test_datasets`, `pretraining_dataset`, and what is held out."""

from __future__ import annotations

from typing import Any

from swift_plugin_import.keys import Keys, is_on
from swift_plugin_import.translation import Translation

# What a type calls the columns that are not named as here.
_TYPES: dict[str, dict[str, str]] = {
    "alpaca": {},
    "completion": {},
    "pretrain": {},
    "chat_template": {},
    "sharegpt": {},
    "alpaca_chat": {},
    "pygmalion": {},
    "gpteacher": {"response": "output"},
    "oasst": {"INSTRUCTION": "instruction", "RESPONSE": "output"},
    "alpaca_w_system": {},
    "alpaca_w_system.load_open_orca": {"system_prompt": "system", "question": "query"},
    "alpaca_chat.load_qa": {"question": "query", "answer": "response"},
    "alpaca_chat.load_camel_ai": {"message_1": "query", "message_2": "response"},
    "context_qa.load_v2": {"question": "instruction", "context": "input", "answer": "output"},
    "chatml.intel": {"question": "prompt"},
    "chatml.ultra": {},
    "llama3.ultra": {},
    "llama3.intel": {"question": "prompt"},
    "chatml.icr": {"input": "prompt"},
    "chatml.prompt_pairs": {},
    "chatml.argilla": {"instruction": "prompt"},
    "llama3.argilla": {"instruction": "prompt"},
    "llama3.icr": {"input": "prompt"},
    "chat_template.default": {},
    "chat_template.argilla": {},
    "chat_template.argilla_chat": {},
}
_TYPES |= {  # styles of a prompt: the columns are those of alpaca
    name: columns
    for names, columns in (
        (("explainchoice", "concisechoice", "gpt4all_chat", "alpaca_instruct", "alpaca:chat", "orcamini", "reflection"), {}),
        (("jeopardy",), {"question": "instruction", "answer": "output", "category": "input"}),
        (("summarizetldr",), {"article": "input", "summary": "output"}),
        (("context_qa", "context_qa.load_v1"), {"question": "instruction", "context": "input", "answer": "output"}),
        (("alpaca_chat.load_concise", "sharegpt.load_role", "sharegpt_simple", "sharegpt.load_multirole", "passthrough"), {}),
        (("user_defined.default", "user_defined"), {}),
        (("chatml.argilla_chat", "llama3.argilla_chat", "llama3.prompt_pairs", "zephyr.nectar", "chatml.ultra", "llama3.ultra"), {}),
        (("bradley_terry.chat_template", "bradley_terry.chat_template.default"), {"input": "prompt"}),
        (("bradley_terry.llama3", "bradley_terry.chatml"), {"input": "prompt"}),
    )
    for name in names
}
_KTO = {"completion": "completion", "label": "label"}
_FIELDS = {
    "field_instruction": "instruction", "field_input": "input", "field_output": "output", "field_system": "system", "field_tools": "tools",
    "field_chosen": "chosen", "field_rejected": "rejected", "field_prompt": "prompt",
    "field_completion": "completion", "field_label": "label",
}  # fmt: skip
_NO_EFFECT = {
    "ds_type": "the file says its format",
    "shards": "all rows are read",
    "shards_idx": "all rows are read",
    "preprocess_shards": "rows are streamed to the disk",
    "conversation": "the chat template of the checkpoint is used",
    "chat_template": "the chat template of the checkpoint is used",
    "trust_remote_code": "code of a data set is not run",
    "drop_system_message": "",
    "message_field_training": "messages have loss or weight",
    "message_field_training_detail": "",
    "train_on_eot": "the end-of-turn token is supervised",
    "no_input_format": "",
    "lfs": "",
}
_THINKING = ("reasoning_content", "reasoning", "thinking", "thought", "thoughts", "think")
_ASSISTANT = {"assistant", "gpt", "model", "chatgpt"}
_ROLES = {"tool", "system", "user", "assistant"}
_EVERY_TURN = ("turn", "all", None)


def arrange(keys: Keys, found: Translation) -> None:
    """Read the data sets and the split, and choose `pretrain` if all of them are plain text."""
    training, validation = listed(keys.take("datasets") or []), listed(keys.take("test_datasets") or [])
    pretraining = keys.take("pretraining_dataset")
    if pretraining:
        _pretraining(pretraining, keys, found)
    elif training and found.verb == "sft" and all(_type(item).startswith("completion") for item in training):
        found.verb = "pretrain"
    for items, path, origin in ((training, "dataset", "datasets"), (validation, "val_dataset", "test_datasets")):
        chosen = [_dataset(item, found, f"{origin}.{index}") for index, item in enumerate(items)]
        if chosen:
            found.set(path, chosen, origin)
    _split(keys, found)
    inputs = keys.take("train_on_inputs")
    if is_on(inputs) and found.verb != "pretrain":
        found.set("mask.turns", "everything", "train_on_inputs")
    elif inputs is not None:
        reason = "all of a text is supervised" if inputs else "the assistant's turns are supervised by default"
        found.drop("train_on_inputs", inputs, reason)


def _pretraining(value: Any, keys: Keys, found: Translation) -> None:
    found.verb = "pretrain"
    mappings = [item if isinstance(item, dict) else {"path": str(item)} for item in listed(value)]
    chosen = [_dataset({"type": "completion", **item}, found, "pretraining_dataset") for item in mappings]
    found.set("dataset", chosen, "pretraining_dataset")
    if keys.take("streaming", True):
        found.set("data.streaming", True, "pretraining_dataset")


def _split(keys: Keys, found: Translation) -> None:
    size = keys.take("val_set_size")
    if isinstance(size, int | float) and 0 < size < 1:
        if found.value("data.streaming"):
            found.refuse("val_set_size", size, "a stream has no share to hold out; name a data set: test_datasets")
        else:
            found.set("validation_ratio", size, "val_set_size")
    elif isinstance(size, int) and size > 0:
        found.set("validation_ratio", size, "val_set_size")
    elif is_on(size):
        found.refuse("val_set_size", size, "must be a number of rows, or a share below 1")
    elif size is not None:
        found.drop("val_set_size", size, "nothing is held out by default")


def listed(items: Any) -> list[Any]:
    """Return a list, or a list of the one item."""
    return list(items) if isinstance(items, list | tuple) else [items]


def _type(item: Any) -> str:
    kind = item.get("type") if isinstance(item, dict) else ""
    return kind if isinstance(kind, str) else ""


def _dataset(item: Any, found: Translation, origin: str) -> Any:
    """Return a data set as it is written here: its name, or a mapping with its options."""
    if not isinstance(item, dict):
        return str(item)
    rest = dict(item)
    chosen: dict[str, Any] = {"name": str(rest.pop("path", ""))}
    files = rest.pop("data_files", None)
    if chosen["name"] in ("json", "csv", "parquet", "arrow", "text") and files:
        chosen["name"] = str(files[0] if isinstance(files, list) else files)
        if isinstance(files, list) and len(files) > 1:
            found.refuse(f"{origin}.data_files", files[1:], "each file is a data set of its own")
    elif files:
        chosen["files"] = [str(file) for file in listed(files)]
    if name := rest.pop("name", None):
        chosen["subset"] = str(name)
    if (split := rest.pop("split", "train")) != "train":
        chosen["split"] = split
    if revision := rest.pop("revision", None):
        chosen["name"] = f"hf:{chosen['name']}@{revision}"
    elif "files" in chosen and "/" in chosen["name"] and not chosen["name"].startswith((".", "/")):
        chosen["name"] = f"hf:{chosen['name']}"
    columns = _columns(rest, found, origin)
    if columns:
        chosen["columns"] = columns
    _messages(rest, found, origin)
    for key, value in rest.items():
        if key in _NO_EFFECT:
            found.drop(f"{origin}.{key}", value, _NO_EFFECT[key] or "it is the default here")
        elif value is not None:
            found.refuse(f"{origin}.{key}", value, "no such key is known")
    return chosen["name"] if list(chosen) == ["name"] else chosen


def _columns(rest: dict[str, Any], found: Translation, origin: str) -> dict[str, str]:
    kind = rest.pop("type", None)
    columns: dict[str, str] = {}
    if isinstance(kind, dict):
        rest |= {key: value for key, value in kind.items() if key.startswith("field")}
        for key in ("format", "no_input_format", "system_prompt", "system_format"):
            if is_on(kind.get(key)) and key not in ("system_format",):
                found.drop(f"{origin}.type.{key}", kind[key], "the chat template of the checkpoint formats the turns")
    elif kind:
        name, _, style = str(kind).partition(":")
        base = name if name in _TYPES else name.partition(".")[0]
        if name in _TYPES or (base in _TYPES and name == base):
            columns |= _TYPES[name]
            if style:
                found.drop(f"{origin}.type", kind, f"the chat template of the checkpoint is used, not the style '{style}'")
        else:
            found.refuse(f"{origin}.type", kind, "no such type of rows is known; name its columns: columns: {theirs: instruction, …}")
    if field := rest.pop("field", rest.pop("text_column", None)):
        columns |= {str(field): "text"} if field != "text" else {}
    elif str(kind or "").startswith("completion"):
        columns |= {}
    if messages := rest.pop("field_messages", None):
        columns |= {str(messages): "messages"} if messages not in ("messages", "conversations") else {}
    for key, ours in _FIELDS.items():
        theirs = rest.pop(key, None)
        if theirs and theirs != ours:
            columns[str(theirs)] = ours
    return columns


def _messages(rest: dict[str, Any], found: Translation, origin: str) -> None:
    """Read what messages look like, and which of them are supervised."""
    properties = dict(rest.pop("message_property_mappings", None) or {})
    for key, name in (("message_field_role", "role"), ("message_field_content", "content")):
        if value := rest.pop(key, None):
            properties[name] = value
    for name, value in properties.items():
        if value not in {"role": ("role", "from"), "content": ("content", "value")}.get(name, (name,)):
            found.refuse(f"{origin}.message_property_mappings.{name}", value, "messages have role and content, or from and value")
    roles = dict(found.value("data.roles", {}))
    for ours, theirs in (rest.pop("roles", None) or {}).items():
        for name in listed(theirs):
            if ours in _ROLES and name not in (ours, "human", "gpt"):
                roles[str(name)] = ours
    if roles:
        found.set("data.roles", roles, f"{origin}.roles")
    if (thinking := rest.pop("field_thinking", None)) is not None:
        if thinking in _THINKING:
            found.drop(f"{origin}.field_thinking", thinking, "reasoning is read from this field of a message")
        else:
            found.refuse(f"{origin}.field_thinking", thinking, f"reasoning is in a field named {', '.join(_THINKING)}")
    if (name := rest.pop("template_thinking_key", None)) is not None:
        found.drop(f"{origin}.template_thinking_key", name, "the chat template is given the reasoning under the names it reads")
    trained = rest.pop("roles_to_train", None)
    if trained is not None and set(listed(trained)) - _ASSISTANT:
        found.refuse(f"{origin}.roles_to_train", trained, "the assistant's turns are supervised, or every turn: mask: {turns: everything}")
    eos = rest.pop("train_on_eos", None)
    if eos == "last" or eos not in _EVERY_TURN:
        found.refuse(f"{origin}.train_on_eos", eos, "the end of every supervised turn is supervised")
