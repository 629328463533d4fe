"""Datasets as verbs use them: selected, read, checked, shown and converted. Row formats are in `swift_data.rows`."""
