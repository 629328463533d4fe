"""A device of PyTorch that is no CPU and no GPU: an accelerator `sim` whose memory is the CPU's (`device.cpp`).

Everything that an accelerator of another vendor brings stands here: a device module, a collective backend, and an entry point of the group
`torch.backends` with which `import torch` finds it in each process. A hidden 'cuda', or a tensor that stays on the CPU, fails on it.
"""
