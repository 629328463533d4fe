"""Checkpoint formats of the ecosystem (safetensors, PEFT adapters, GGUF, ONNX): recognised, checked and hashed without loading them."""
