"""Tiny random vision-language checkpoints of several families, each with its real processor.

What is real is the code: the family's model class, its processor, its image processor (the one based on Pillow). Sizes and weights are
small and random. Processors that also read videos need torchvision (`swift_testing.torchvision_beside_cpu`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_testing.small_configs import small

_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{{ part['text'] if part['type'] == 'text' else {'image': '@image', 'video': '@video', 'audio': '@audio'}[part['type']] }}"
    "{% endfor %}{% endif %}"
    "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SECTIONS = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}


@dataclass(frozen=True, slots=True)
class Kind:
    """A family: its placeholder of an image in chat templates, its special tokens by the tokenizer's attributes, what completes a
    configuration, what makes its processor, the packages it needs, further tokens, and its placeholders of videos and audio.
    """

    image: str
    tokens: Mapping[str, str]
    settle: Callable[[dict[str, Any], Any], None]
    processor: Callable[[Any, Any], Any]
    needs: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    video: str = ""
    audio: str = ""
    model_type: str = ""  # if the family's name is not that of its configuration


def write_vision_model(folder: Path, model_type: str, *, seed: int = 0) -> Path:
    """Write a checkpoint of a model type of `VISION` with its processor; the same seed gives the same weights."""
    return write_media_model(folder, model_type, VISION[model_type], seed=seed)


def write_media_model(folder: Path, model_type: str, kind: Kind, *, seed: int = 0) -> Path:
    """Write a small random checkpoint of a model type with its processor; the same seed gives the same weights."""
    model_type = kind.model_type or model_type
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForMultimodalLM, GenerationConfig

    tokenizer = _tokenizer(kind)
    config_class = CONFIG_MAPPING[model_type]
    fields = small(config_class)
    kind.settle(fields, tokenizer)
    text = fields.get("text_config", fields)
    text["vocab_size"] = len(tokenizer)
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        text[name] = fields[name] = getattr(tokenizer, name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        auto: Any = AutoModelForMultimodalLM
        model = auto.from_config(config_class(**fields)).float()
        for parameter in model.parameters():
            if parameter.dim() >= 2 and float(parameter.detach().std()) < 0.06:
                torch.nn.init.normal_(parameter, std=0.08)
    tokens = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    model.generation_config = GenerationConfig(**tokens)  # type: ignore[no-untyped-call]
    model.save_pretrained(folder)
    processor = kind.processor(tokenizer, fields)
    template = _TEMPLATE.replace("@image", kind.image).replace("@video", kind.video).replace("@audio", kind.audio)
    processor.chat_template = tokenizer.chat_template = template
    processor.save_pretrained(folder)
    return folder


def _tokenizer(kind: Kind) -> Any:
    from transformers import PreTrainedTokenizerFast

    from swift_testing.rig import tiny_tokenizer

    backend = tiny_tokenizer(*dict.fromkeys((*kind.tokens.values(), *kind.more))).backend_tokenizer
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend,
        unk_token="<|endoftext|>",
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        extra_special_tokens=dict(kind.tokens),
    )


def token_ids(fields: dict[str, Any], tokenizer: Any, **names: str) -> None:
    """Set fields of a configuration to the ids of tokens."""
    fields.update({field: tokenizer.convert_tokens_to_ids(token) for field, token in names.items()})


def _qwen(fields: dict[str, Any], tokenizer: Any) -> None:
    ids = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
    token_ids(fields, tokenizer, **ids, vision_start_token_id="<|vision_start|>", vision_end_token_id="<|vision_end|>")
    fields["text_config"]["rope_parameters"] = dict(SECTIONS)
    fields["vision_config"]["out_hidden_size"] = fields["text_config"]["hidden_size"]


def _qwen2(fields: dict[str, Any], tokenizer: Any) -> None:
    _qwen(fields, tokenizer)
    del fields["vision_config"]["out_hidden_size"]
    fields["vision_config"] |= {"embed_dim": 64, "hidden_size": fields["text_config"]["hidden_size"]}


def _qwen3(fields: dict[str, Any], tokenizer: Any) -> None:
    _qwen(fields, tokenizer)
    fields["vision_config"]["deepstack_visual_indexes"] = [0, 1]


def _qwen_processor(name: str, video: str) -> Callable[[Any, Any], Any]:
    def make(tokenizer: Any, fields: Any) -> Any:
        import transformers
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

        patch = 16 if name.startswith("Qwen3") else 14
        images = Qwen2VLImageProcessorPil(patch_size=patch, size={"shortest_edge": 28 * 28, "longest_edge": 96 * 96})
        size = {"shortest_edge": 28 * 28, "longest_edge": 96 * 96 * (4 if name.startswith("Qwen3") else 1)}
        videos = getattr(transformers, video)(patch_size=patch, size=size)
        return getattr(transformers, name)(image_processor=images, tokenizer=tokenizer, video_processor=videos)

    return make


_QWEN_TOKENS = {
    "image_token": "<|image_pad|>", "video_token": "<|video_pad|>", "vision_start_token": "<|vision_start|>",
    "vision_end_token": "<|vision_end|>",
}  # fmt: skip
_QWEN_MARK, _QWEN_FILM = (f"<|vision_start|><|{kind}_pad|><|vision_end|>" for kind in ("image", "video"))


def _gemma3(fields: dict[str, Any], tokenizer: Any) -> None:
    token_ids(fields, tokenizer, image_token_id="<image_soft_token>", image_token_index="<image_soft_token>")
    token_ids(fields, tokenizer, boi_token_index="<start_of_image>", eoi_token_index="<end_of_image>")
    fields["vision_config"] |= {"image_size": 56, "patch_size": 14}
    fields["mm_tokens_per_image"] = 4


def _gemma3_processor(tokenizer: Any, fields: Any) -> Any:
    from transformers import Gemma3Processor
    from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil

    images = Gemma3ImageProcessorPil(size={"height": 56, "width": 56})
    return Gemma3Processor(image_processor=images, tokenizer=tokenizer, image_seq_length=4)


def _internvl(fields: dict[str, Any], tokenizer: Any) -> None:
    from transformers import Qwen2Config

    token_ids(fields, tokenizer, image_token_id="<IMG_CONTEXT>")
    fields["vision_config"] |= {"image_size": [56, 56], "patch_size": [14, 14]}
    fields |= {"image_seq_length": 4, "downsample_ratio": 0.5, "text_config": {**small(Qwen2Config), "model_type": "qwen2"}}


def _internvl_processor(tokenizer: Any, fields: Any) -> Any:
    from transformers import InternVLProcessor, InternVLVideoProcessor
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

    square = {"height": 56, "width": 56}
    images = GotOcr2ImageProcessorPil(size=square, crop_to_patches=True, max_patches=4)
    return InternVLProcessor(
        image_processor=images, tokenizer=tokenizer, video_processor=InternVLVideoProcessor(size=square), image_seq_length=4
    )


def _idefics(fields: dict[str, Any], tokenizer: Any) -> None:
    from transformers import LlamaConfig

    token_ids(fields, tokenizer, image_token_id="<image>")
    fields["vision_config"] |= {"image_size": 56, "patch_size": 14}
    fields |= {"scale_factor": 2, "text_config": {**small(LlamaConfig), "model_type": "llama"}}


def _idefics3_processor(tokenizer: Any, fields: Any) -> Any:
    from transformers import Idefics3Processor
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    images = Idefics3ImageProcessorPil(size={"longest_edge": 112}, max_image_size={"longest_edge": 56})
    return Idefics3Processor(image_processor=images, tokenizer=tokenizer, image_seq_len=4)


def _smolvlm_processor(tokenizer: Any, fields: Any) -> Any:
    from transformers import SmolVLMProcessor, SmolVLMVideoProcessor
    from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

    images = SmolVLMImageProcessorPil(size={"longest_edge": 112}, max_image_size={"longest_edge": 56})
    sampling: Any = {"video_sampling": {"max_frames": 8, "fps": 1, "video_size": {"longest_edge": 56}}}
    videos = SmolVLMVideoProcessor(size={"longest_edge": 56}, max_image_size={"longest_edge": 56}, **sampling)
    return SmolVLMProcessor(image_processor=images, tokenizer=tokenizer, video_processor=videos, image_seq_len=4)


_IDEFICS_TOKENS = {
    "image_token": "<image>", "fake_image_token": "<fake_token_around_image>", "global_image_token": "<global-img>",
    "end_of_utterance_token": "<end_of_utterance>",
}  # fmt: skip
_TILES = tuple(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7))
_TORCHVISION = ("torchvision",)


def _llava(fields: dict[str, Any], tokenizer: Any) -> None:
    from transformers import CLIPVisionConfig, LlamaConfig

    token_ids(fields, tokenizer, image_token_id="<image>", image_token_index="<image>")
    fields["vision_config"] = {**small(CLIPVisionConfig), "model_type": "clip_vision_model", "image_size": 56, "patch_size": 14}
    fields |= {"image_seq_length": 16, "text_config": {**small(LlamaConfig), "model_type": "llama"}}


def _llava_processor(tokenizer: Any, fields: Any) -> Any:
    from transformers import LlavaProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    square = {"height": 56, "width": 56}
    images = CLIPImageProcessorPil(size={"shortest_edge": 56}, crop_size=square)
    return LlavaProcessor(  # type: ignore[no-untyped-call]
        image_processor=images, tokenizer=tokenizer, patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1
    )


def _onevision(fields: dict[str, Any], tokenizer: Any) -> None:
    from transformers import Qwen2Config, SiglipVisionConfig

    token_ids(
        fields, tokenizer, image_token_id="<image>", image_token_index="<image>", video_token_id="<video>", video_token_index="<video>"
    )
    fields["vision_config"] = {**small(SiglipVisionConfig), "model_type": "siglip_vision_model", "image_size": 56, "patch_size": 14}
    fields |= {"text_config": {**small(Qwen2Config), "model_type": "qwen2"}, "image_grid_pinpoints": [[56, 112], [112, 56], [112, 112]]}


def _onevision_processor(tokenizer: Any, fields: Any) -> Any:
    from transformers import LlavaOnevisionProcessor, LlavaOnevisionVideoProcessor
    from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil

    square = {"height": 56, "width": 56}
    images = LlavaOnevisionImageProcessorPil(size=square, image_grid_pinpoints=fields["image_grid_pinpoints"])
    return LlavaOnevisionProcessor(  # type: ignore[no-untyped-call]
        image_processor=images,
        tokenizer=tokenizer,
        video_processor=LlavaOnevisionVideoProcessor(size=square),
        num_image_tokens=16,
        vision_feature_select_strategy="full",
    )


VISION: Mapping[str, Kind] = {
    "llava": Kind("<image>", {"image_token": "<image>"}, _llava, _llava_processor),
    "gemma3": Kind(
        "<start_of_image>",
        {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"},
        _gemma3,
        _gemma3_processor,
    ),
    "idefics3": Kind("<image>", _IDEFICS_TOKENS, _idefics, _idefics3_processor, more=_TILES),
    "smolvlm": Kind("<image>", _IDEFICS_TOKENS, _idefics, _smolvlm_processor, (*_TORCHVISION, "num2words"), _TILES, video="<video>"),
    "llava_onevision": Kind(
        "<image>", {"image_token": "<image>", "video_token": "<video>"}, _onevision, _onevision_processor, _TORCHVISION, video="<video>"
    ),
    "internvl": Kind(
        "<IMG_CONTEXT>",
        {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>", "video_token": "<video>"},
        _internvl,
        _internvl_processor,
        _TORCHVISION,
        video="<video>",
    ),
    "qwen2_vl": Kind(
        _QWEN_MARK, _QWEN_TOKENS, _qwen2, _qwen_processor("Qwen2VLProcessor", "Qwen2VLVideoProcessor"), _TORCHVISION, video=_QWEN_FILM
    ),
    "qwen2_5_vl": Kind(
        _QWEN_MARK, _QWEN_TOKENS, _qwen, _qwen_processor("Qwen2_5_VLProcessor", "Qwen2VLVideoProcessor"), _TORCHVISION, video=_QWEN_FILM
    ),
    "qwen3_vl": Kind(
        _QWEN_MARK, _QWEN_TOKENS, _qwen3, _qwen_processor("Qwen3VLProcessor", "Qwen3VLVideoProcessor"), _TORCHVISION, video=_QWEN_FILM
    ),
}
