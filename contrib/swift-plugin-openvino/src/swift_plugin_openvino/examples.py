"""The model for the conformance kit: its tiny Llama as a GGUF file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from swift_testing.kit import Example

NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
    "input_layernorm.weight": "attn_norm.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
}


def write_gguf(checkpoint: Path, folder: Path) -> None:
    """Write a small Llama's safetensors checkpoint with a byte-level tokenizer as `model.gguf`, in float16."""
    import gguf
    from safetensors.numpy import load_file

    config = _json(checkpoint / "config.json")
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    writer = gguf.GGUFWriter(folder / "model.gguf", "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_dimension_count(config["hidden_size"] // heads)
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    _tokenizer(writer, checkpoint, config)
    for name, tensor in load_file(checkpoint / "model.safetensors").items():
        rotary_heads = heads if "q_proj" in name else kv_heads if "k_proj" in name else 0
        written = _interleaved(tensor, rotary_heads) if rotary_heads else tensor
        writer.add_tensor(_name(name), written.astype("float16" if written.ndim > 1 else "float32"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _tokenizer(writer: Any, checkpoint: Path, config: dict[str, Any]) -> None:
    from gguf import TokenType

    tokenizer = _json(checkpoint / "tokenizer.json")
    special = {token["id"]: token["content"] for token in tokenizer["added_tokens"]}
    tokens = {number: text for text, number in tokenizer["model"]["vocab"].items()} | special
    order = range(config["vocab_size"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([tokens[number] for number in order])
    writer.add_token_types([TokenType.CONTROL if number in special else TokenType.NORMAL for number in order])
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_pad_token_id(config["pad_token_id"])
    writer.add_add_bos_token(False)
    writer.add_chat_template((checkpoint / "chat_template.jinja").read_text(encoding="utf-8"))


def _interleaved(weight: Any, heads: int) -> Any:
    """Interleave the two halves of each head's rows, as GGUF's rotary embedding requires."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _name(name: str) -> str:
    if name in NAMES:
        return NAMES[name]
    _, _, number, rest = name.split(".", 3)
    return f"blk.{number}.{NAMES[rest]}"


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def write_ir(source: Path, folder: Path) -> None:
    """Write the names of the files that an export to OpenVINO IR has."""
    for name in ("openvino_model.xml", "openvino_model.bin", "openvino_tokenizer.xml", "openvino_tokenizer.bin", "config.json"):
        (folder / name).write_text("{}", encoding="utf-8")


EXAMPLES = {
    "backend openvino": Example(options={"cache_gib": 1, "exact": True}, checkpoint=write_gguf),
    "format openvino": Example(checkpoint=write_ir),
}
