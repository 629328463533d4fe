"""vLLM as a serving backend."""
