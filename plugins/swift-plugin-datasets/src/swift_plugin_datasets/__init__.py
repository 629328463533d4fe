"""File formats and named data sets."""
