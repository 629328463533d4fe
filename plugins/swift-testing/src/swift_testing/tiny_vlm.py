"""A tiny random vision-language checkpoint: a CLIP tower, a projector and a Llama, in transformers' LLaVA classes.

It uses the image processor based on Pillow, so torchvision is not needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

IMAGE_TOKEN = "<image>"
IMAGE_SIZE, PATCH_SIZE = 16, 8  # pixels; by default 4 patches, so 4 tokens per image

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{{ '<image>' if part['type'] == 'image' else part['text'] }}{% endfor %}{% endif %}"
    "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def write_tiny_vlm(folder: Path, *, seed: int = 0, image_size: int = IMAGE_SIZE) -> Path:
    """Write the checkpoint (float32, hidden size 64, 2 layers per part) with its processor; the same seed gives the same bytes."""
    import torch
    from transformers import CLIPVisionConfig, GenerationConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    from swift_testing.rig import tiny_tokenizer

    tokenizer = tiny_tokenizer(IMAGE_TOKEN)
    tokens: dict[str, Any] = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    small: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**small, image_size=image_size, patch_size=PATCH_SIZE, projection_dim=64),
        text_config=LlamaConfig(
            **small, vocab_size=len(tokenizer), num_key_value_heads=2, max_position_embeddings=512, initializer_range=0.1, **tokens
        ),
        image_token_index=tokenizer.get_vocab()[IMAGE_TOKEN],
        image_seq_length=(image_size // PATCH_SIZE) ** 2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlavaForConditionalGeneration(config)
    model.generation_config = GenerationConfig(**tokens)  # type: ignore[no-untyped-call]
    model.save_pretrained(folder)
    square = {"height": image_size, "width": image_size}
    processor = LlavaProcessor(  # type: ignore[no-untyped-call]
        image_processor=CLIPImageProcessorPil(size={"shortest_edge": image_size}, crop_size=square),
        tokenizer=tokenizer,
        patch_size=PATCH_SIZE,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,  # the tower's class token, which the feature selection removes
        chat_template=CHAT_TEMPLATE,
    )
    processor.save_pretrained(folder)
    return folder
