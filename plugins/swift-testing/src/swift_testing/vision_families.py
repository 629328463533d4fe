"""Further tiny random vision-language checkpoints, of families whose processors differ from those of `vision_models`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from swift_testing.small_configs import small
from swift_testing.vision_models import SECTIONS, Kind, token_ids

_TORCHVISION = ("torchvision",)


def _text(name: str) -> dict[str, Any]:
    """Return the small configuration of a language model."""
    import transformers

    kind = getattr(transformers, name)
    return {**small(kind), "model_type": kind.model_type}


def _pixtral_tower(fields: dict[str, Any]) -> None:
    from transformers import PixtralVisionConfig

    fields["vision_config"] = {**small(PixtralVisionConfig), "model_type": "pixtral", "image_size": 112, "patch_size": 14, "head_dim": 16}
    fields["vision_config"]["rope_parameters"] = {"rope_type": "default", "rope_theta": 10000.0}


def _pixtral(fields: dict[str, Any], tokenizer: Any) -> None:
    _pixtral_tower(fields)
    token_ids(fields, tokenizer, image_token_id="[IMG]", image_token_index="[IMG]")
    fields |= {"text_config": _text("MistralConfig"), "vision_feature_select_strategy": "full", "vision_feature_layer": -1}
    fields.pop("image_seq_length", None)


def _mistral3(fields: dict[str, Any], tokenizer: Any) -> None:
    _pixtral_tower(fields)
    token_ids(fields, tokenizer, image_token_id="[IMG]", image_token_index="[IMG]")
    fields |= {"text_config": _text("MistralConfig"), "vision_feature_layer": -1, "spatial_merge_size": 2}


def _pixtral_processor(merge: int) -> Callable[[Any, Any], Any]:
    def make(tokenizer: Any, fields: Any) -> Any:
        from transformers import PixtralProcessor
        from transformers.models.pixtral.image_processing_pil_pixtral import PixtralImageProcessorPil

        images = PixtralImageProcessorPil(size={"longest_edge": 112}, patch_size={"height": 14 * merge, "width": 14 * merge})
        return PixtralProcessor(image_processor=images, tokenizer=tokenizer, patch_size=14, spatial_merge_size=merge)

    return make


def _llava_next(fields: dict[str, Any], tokenizer: Any) -> None:
    from transformers import CLIPVisionConfig

    token_ids(fields, tokenizer, image_token_id="<image>", image_token_index="<image>")
    fields["vision_config"] = {**small(CLIPVisionConfig), "model_type": "clip_vision_model", "image_size": 56, "patch_size": 14}
    fields |= {"text_config": _text("LlamaConfig"), "image_grid_pinpoints": [[56, 112], [112, 56], [112, 112]]}


def _llava_next_processor(tokenizer: Any, fields: Any) -> Any:
    from transformers import LlavaNextProcessor
    from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

    square = {"height": 56, "width": 56}
    images = LlavaNextImageProcessorPil(size={"shortest_edge": 56}, crop_size=square, image_grid_pinpoints=fields["image_grid_pinpoints"])
    return LlavaNextProcessor(  # type: ignore[no-untyped-call]
        image_processor=images, tokenizer=tokenizer, patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1
    )


def _glm(fields: dict[str, Any], tokenizer: Any) -> None:
    ids = {"image_token_id": "<|image|>", "video_token_id": "<|video|>", "image_start_token_id": "<|begin_of_image|>"}
    ends = {
        "image_end_token_id": "<|end_of_image|>",
        "video_start_token_id": "<|begin_of_video|>",
        "video_end_token_id": "<|end_of_video|>",
    }
    token_ids(fields, tokenizer, **ids, **ends)
    fields["text_config"] |= {"rope_parameters": dict(SECTIONS), "head_dim": 16}
    fields["vision_config"] |= {"out_hidden_size": fields["text_config"]["hidden_size"], "image_size": 112, "patch_size": 14}


def _glm_processor(name: str) -> Callable[[Any, Any], Any]:
    def make(tokenizer: Any, fields: Any) -> Any:
        import importlib

        import transformers

        module = importlib.import_module(f"transformers.models.{name.lower()}.image_processing_pil_{name.lower()}")
        images = getattr(module, f"{name}ImageProcessorPil")(size={"shortest_edge": 28 * 28, "longest_edge": 96 * 96 * 2})
        videos = getattr(transformers, f"{name}VideoProcessor")(size={"shortest_edge": 28 * 28, "longest_edge": 96 * 96 * 8})
        return getattr(transformers, f"{name}Processor")(image_processor=images, tokenizer=tokenizer, video_processor=videos)

    return make


_GLM_TOKENS = {
    "image_token": "<|image|>", "video_token": "<|video|>",
    **{f"{kind}_{end}_token": f"<|{word}_of_{kind}|>" for kind in ("image", "video") for end, word in (("start", "begin"), ("end", "end"))},
}  # fmt: skip
_GLM_MARKS = {kind: f"<|begin_of_{kind}|><|{kind}|><|end_of_{kind}|>" for kind in ("image", "video")}


def _paddle(fields: dict[str, Any], tokenizer: Any) -> None:
    token_ids(fields, tokenizer, image_token_id="<|image_pad|>", vision_start_token_id="<|vision_start|>")
    token_ids(fields, tokenizer, video_token_id="<|video_pad|>", vision_end_token_id="<|vision_end|>")
    fields["vision_config"] |= {"image_size": 112, "patch_size": 14}


def _paddle_processor(tokenizer: Any, fields: Any) -> Any:
    from transformers import PaddleOCRVLProcessor
    from transformers.models.paddleocr_vl.image_processing_pil_paddleocr_vl import PaddleOCRVLImageProcessorPil

    images = PaddleOCRVLImageProcessorPil(size={"shortest_edge": 28 * 28, "longest_edge": 96 * 96})
    return PaddleOCRVLProcessor(image_processor=images, tokenizer=tokenizer)  # type: ignore[no-untyped-call]


def _qwen35(fields: dict[str, Any], tokenizer: Any) -> None:
    ids = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
    token_ids(fields, tokenizer, **ids, vision_start_token_id="<|vision_start|>", vision_end_token_id="<|vision_end|>")
    fields["text_config"]["rope_parameters"] = {**SECTIONS, "partial_rotary_factor": 1.0}
    fields["vision_config"]["out_hidden_size"] = fields["text_config"]["hidden_size"]


def _qwen35_processor(tokenizer: Any, fields: Any) -> Any:
    from transformers import Qwen3VLProcessor, Qwen3VLVideoProcessor
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    images = Qwen2VLImageProcessorPil(patch_size=16, size={"shortest_edge": 28 * 28, "longest_edge": 96 * 96})
    videos = Qwen3VLVideoProcessor(patch_size=16, size={"shortest_edge": 28 * 28, "longest_edge": 96 * 96 * 4})
    return Qwen3VLProcessor(image_processor=images, tokenizer=tokenizer, video_processor=videos)  # type: ignore[no-untyped-call]


_QWEN_TOKENS = {f"{name}_token": f"<|{name}|>" for name in ("vision_start", "vision_end")} | {
    f"{kind}_token": f"<|{kind}_pad|>" for kind in ("image", "video")
}
_QWEN_MARKS = {kind: f"<|vision_start|><|{kind}_pad|><|vision_end|>" for kind in ("image", "video")}


def _llama4(fields: dict[str, Any], tokenizer: Any) -> None:
    token_ids(fields, tokenizer, image_token_id="<|patch|>", image_token_index="<|patch|>", boi_token_index="<|image_start|>")
    token_ids(fields, tokenizer, eoi_token_index="<|image_end|>")
    tower = {"image_size": 56, "patch_size": 14, "vision_output_dim": 64, "projector_input_dim": 64, "projector_output_dim": 64}
    fields["vision_config"] |= {**tower, "intermediate_size": 256}
    fields["text_config"] |= {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}, "attention_chunk_size": 512}


def _llama4_processor(tokenizer: Any, fields: Any) -> Any:
    from transformers import Llama4ImageProcessor, Llama4Processor

    images = Llama4ImageProcessor(size={"height": 56, "width": 56}, max_patches=4)
    return Llama4Processor(image_processor=images, tokenizer=tokenizer, patch_size=14)


_LLAMA4_TOKENS = {
    "image_token": "<|image|>",
    **{f"{end}_of_image_token": f"<|image_{end}|>" for end in ("start", "end")},
    **{f"{name}_token": f"<|{name}|>" for name in ("patch", "tile_x_separator", "tile_y_separator")},
}


MORE_VISION: Mapping[str, Kind] = {
    "pixtral": Kind(
        "[IMG]", {"image_token": "[IMG]", "image_break_token": "[IMG_BREAK]", "image_end_token": "[IMG_END]"}, _pixtral,
        _pixtral_processor(1), _TORCHVISION, model_type="llava",
    ),
    "mistral3": Kind(
        "[IMG]", {"image_token": "[IMG]", "image_break_token": "[IMG_BREAK]", "image_end_token": "[IMG_END]"}, _mistral3,
        _pixtral_processor(2), _TORCHVISION,
    ),
    "llava_next": Kind("<image>", {"image_token": "<image>"}, _llava_next, _llava_next_processor),
    "glm4v": Kind(_GLM_MARKS["image"], _GLM_TOKENS, _glm, _glm_processor("Glm4v"), _TORCHVISION, video=_GLM_MARKS["video"]),
    "glm46v": Kind(_GLM_MARKS["image"], _GLM_TOKENS, _glm, _glm_processor("Glm46V"), _TORCHVISION, video=_GLM_MARKS["video"]),
    "glm_ocr": Kind(_GLM_MARKS["image"], _GLM_TOKENS, _glm, _glm_processor("Glm46V"), _TORCHVISION),
    "paddleocr_vl": Kind(_QWEN_MARKS["image"], _QWEN_TOKENS, _paddle, _paddle_processor),
    "qwen3_5": Kind(_QWEN_MARKS["image"], _QWEN_TOKENS, _qwen35, _qwen35_processor, _TORCHVISION, video=_QWEN_MARKS["video"]),
    "llama4": Kind("<|image|>", _LLAMA4_TOKENS, _llama4, _llama4_processor, _TORCHVISION),
}  # fmt: skip
