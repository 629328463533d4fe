from swift_core.checkpoints.checkpoint import Checkpoint as Checkpoint
from swift_core.checkpoints.family import UNKNOWN as UNKNOWN, family_of as family_of, identify as identify
from swift_core.checkpoints.fetch import Fetcher as Fetcher
from swift_core.checkpoints.files import MANIFEST as MANIFEST, hash_files as hash_files
from swift_core.checkpoints.lineage import base_mismatch as base_mismatch, check_base as check_base
from swift_core.checkpoints.manifest import (
    Golden as Golden,
    MakerRecord as MakerRecord,
    Manifest as Manifest,
    TemplateFacts as TemplateFacts,
    write_manifest as write_manifest,
)
