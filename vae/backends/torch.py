"""PyTorch. What each method has to do is said in `contract`."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from vae._keras import keras
from vae.backends.contract import Backend, Chunk, Device


class PyTorch(Backend):
    """Makes steps one by one: Keras's step is not compiled here."""

    name = "torch"

    def inspect(self) -> Device:
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        if not names and torch.backends.mps.is_available():  # Keras computes there, too
            names = ["Apple GPU"]
        has_cuda, package = torch.version.cuda is not None, "the CUDA build of torch"
        return Device(f"PyTorch {torch.__version__}", names, has_cuda, package, needs_wsl=False)

    def run_chunk(
        self, model: Any, step: Callable[..., Any], scheduled: bool, chunk: Chunk, *state: Any
    ) -> Any:
        for batch, rate in zip(*chunk, strict=True):
            if scheduled:
                model.optimizer.learning_rate.assign(rate)
            logs = step((batch,))
        return logs

    def compile_network(self, network: keras.Model) -> Callable[..., Any]:
        @torch.no_grad()
        def compute(*x: np.ndarray) -> Any:
            return network(x[0] if len(x) == 1 else list(x))

        return compute

    def shapes_only(self) -> Any:
        # Where Keras cannot find a shape on the device "meta", whose tensors hold no numbers, it computes on
        # real arrays instead, and asks nobody.
        return _OnlyOnMeta()


class _OnlyOnMeta(TorchFunctionMode):
    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if str(kwargs.get("device") or "meta") != "meta":
            raise ValueError("PyTorch cannot tell a shape without computing")
        return function(*args, **kwargs)


backend = PyTorch()
