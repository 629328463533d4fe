"""Data sets as a verb uses them: chosen, read, checked, shown and converted. The rows themselves are `swift_core.rows`."""
