"""Media of rows: files checked and decoded, placeholders expanded as the model's processor does, and tensors for the forward pass.

The rendered text stays the one currency of the encoder. A placeholder in it is replaced by the processor's own text, the supervised spans
move, and the tokenizer then gives the processor's token ids. The store keeps paths, never pixels: they are made with the micro-batch.
"""
