"""Where models and data come from: Hugging Face, ModelScope, PyPI, folders."""
