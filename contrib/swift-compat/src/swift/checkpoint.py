"""Facts of a checkpoint that ms-swift's calls name: its family, and the group size that its layers allow."""

from __future__ import annotations

import warnings
from pathlib import Path

_DEFAULT = 128


def facts(folder: Path, model_type: str | None) -> tuple[str, int]:
    """Return the family to load a model with ('' to detect it), and a group size that divides its layers.

    Args:
        folder: the checkpoint; a reference that is no folder gets the defaults.
        model_type: the family as the caller names it, by a name of ms-swift or of swift-core.
    """
    from swift_train.group_size import dividing_sizes, input_sizes

    from swift_core.checkpoints import Checkpoint, identify
    from swift_core.contract import ModelFamily
    from swift_core.plugins import registry

    families = registry().all(ModelFamily)
    known = {family.name for family in families}
    if not (folder / "config.json").is_file():
        return (model_type if model_type in known else "") or "", _DEFAULT
    found = identify(Checkpoint.at(folder).config, families)
    if found and model_type and model_type != found.name:
        warnings.warn(f"{folder} is a checkpoint of the family '{found.name}', not '{model_type}': its own family is used", stacklevel=3)
    sizes = [size for size in dividing_sizes(input_sizes(folder, ()).values()) if size <= _DEFAULT]
    return found.name if found else "", max(sizes, default=_DEFAULT)
