"""Shared by the training plugins: options, tokenising, masks, batches, the one loop."""
