"""Load a checkpoint with transformers, offline, after checking that its weights are complete."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from swift_train.roles import Loaded, Loading
from swift_train.weights import check_weights
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from swift_core.contract import UsageError

if TYPE_CHECKING:
    from swift_core.contract import ModelFamily


class Acme:
    """Loads a causal language model and its tokenizer."""

    def __init__(self, options: None = None) -> None:
        pass

    def load(self, checkpoint: Path, family: ModelFamily, loading: Loading) -> Loaded:
        """Return the model in evaluation mode, and its tokenizer; on the device `meta`, only shapes without weights.

        Raises:
            UsageError: the weights are incomplete, or the model needs code that is not trusted.
        """
        dtype = getattr(torch, loading.dtype)
        common: dict[str, Any] = {"local_files_only": True, "trust_remote_code": loading.trust_remote_code}
        loads: Any = AutoModelForCausalLM
        try:
            config = AutoConfig.from_pretrained(checkpoint, **common)
            tokenizer: Any = AutoTokenizer.from_pretrained(checkpoint, **common)
            if loading.device == "meta":
                with torch.device("meta"):
                    return Loaded(loads.from_config(config, dtype=dtype, trust_remote_code=loading.trust_remote_code), tokenizer)
            check_weights(checkpoint)
            model = loads.from_pretrained(checkpoint, dtype=dtype, device_map={"": loading.device}, use_safetensors=True, **common)
        except (ImportError, ValueError) as error:
            raise UsageError(
                f"transformers can't load the checkpoint: {error}",
                where=str(checkpoint),
                hint="Check that it is complete, and trust its code with --trust-remote-code if it has some.",
                code="ACME-001",
            ) from error
        return Loaded(model.eval(), tokenizer)
