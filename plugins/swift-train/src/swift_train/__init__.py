"""The training library that training plugins share: options, tokenisation, loss masks, batches and the training loop."""
