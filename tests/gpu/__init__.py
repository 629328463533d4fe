"""What only an accelerator can show, in order of worth: `python -m tests.gpu`, or `make gpu`.

Every check runs on any device, so that the checks themselves are tested on a CPU (`--device cpu --small`). A bare machine needs a CUDA
build of PyTorch and this checkout; `make gpu-wheels` collects the other wheels for a machine without a network.
"""
