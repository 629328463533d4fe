"""Loaders, pretrain and sft, full and freeze tuners, ddp, the embedded server."""
