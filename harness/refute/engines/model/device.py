"""The device that a model is to compute on, refused in words where this process has none."""

from __future__ import annotations

import torch

from refute.errors import MissingInputsError


def require_device(device: str) -> str:
    """`device` (`cpu`, `cuda`, `cuda:1`) as it was given. Raises MissingInputsError where torch finds no such GPU."""
    kind, _, number = device.partition(":")
    if kind == "cuda" and torch.cuda.device_count() <= int(number or 0):
        built = "" if torch.version.cuda else f"; torch {torch.__version__} was built without CUDA"
        raise MissingInputsError(
            f"device {device}: torch finds {torch.cuda.device_count()} GPUs here{built}",
            hint="compute on cpu, or install a torch with CUDA on a machine with a GPU",
        )
    return device
