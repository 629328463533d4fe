"""Checkpoints: references fetched, formats, manifests, families, lineage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift_core.lazy import door

if TYPE_CHECKING:
    from swift_core.checkpoints.completeness import check_tensors as check_tensors
    from swift_core.checkpoints.family import UNKNOWN as UNKNOWN, family_of as family_of, identify as identify
    from swift_core.checkpoints.fetch import Fetcher as Fetcher
    from swift_core.checkpoints.generation_config import (
        readable_generation_config as readable_generation_config,
        repaired_generation_config as repaired_generation_config,
    )
    from swift_core.checkpoints.lineage import check_base as check_base
    from swift_core.checkpoints.manifest import (
        MANIFEST as MANIFEST,
        Manifest as Manifest,
        checkpoint_format as checkpoint_format,
        content_hash as content_hash,
        copy_licence as copy_licence,
        copy_tokenizer as copy_tokenizer,
        hash_files as hash_files,
        quantization_of as quantization_of,
        read_config as read_config,
        read_manifest as read_manifest,
        write_manifest as write_manifest,
    )
    from swift_core.checkpoints.weights import read_header as read_header, weight_files as weight_files

__getattr__, __dir__ = door(
    __name__,
    {
        "completeness": "check_tensors",
        "family": "UNKNOWN family_of identify",
        "fetch": "Fetcher",
        "generation_config": "readable_generation_config repaired_generation_config",
        "lineage": "check_base",
        "manifest": (
            "MANIFEST Manifest checkpoint_format content_hash copy_licence copy_tokenizer hash_files quantization_of read_config "
            "read_manifest write_manifest"
        ),
        "weights": "read_header weight_files",
    },
)
