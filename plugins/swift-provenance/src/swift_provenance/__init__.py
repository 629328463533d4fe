"""Provenance of checkpoints: lineage, licences, signatures, bills of materials and model cards."""
