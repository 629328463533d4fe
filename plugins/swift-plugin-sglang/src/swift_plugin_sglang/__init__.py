"""SGLang as a serving backend."""
