"""A detector of personal data in Chinese and English texts."""
