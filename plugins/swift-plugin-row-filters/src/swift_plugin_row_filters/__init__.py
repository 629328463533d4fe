"""Filters of rows by language and quality."""
