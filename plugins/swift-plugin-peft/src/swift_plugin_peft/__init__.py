"""Adapters: LoRA, QLoRA, DoRA and all that PEFT offers."""
