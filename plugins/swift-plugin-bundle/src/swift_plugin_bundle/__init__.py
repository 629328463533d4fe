"""Bundles: one archive with all that a recipe needs, installed on a machine that has only Python and no network."""
