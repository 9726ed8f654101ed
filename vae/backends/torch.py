"""PyTorch. What each method has to do is said in `contract`."""

from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from vae._keras import all_layers, keras
from vae._terminal import say
from vae.backends.contract import Backend, Chunk, Device
from vae.backends.torch_replay import record


class PyTorch(Backend):
    """Makes the first step of a kind through Keras, and replays it for the others."""

    name = "torch"

    def __init__(self) -> None:
        # By the compiled function of Keras that makes the steps: a new one (`compile`) begins anew.
        self._replays: WeakKeyDictionary[Any, dict[Any, Callable[..., Any]]] = WeakKeyDictionary()
        self._told: WeakSet[Any] = WeakSet()  # models of which it was said that they cannot be recorded

    def inspect(self) -> Device:
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        if not names and torch.backends.mps.is_available():  # Keras computes there, too
            names = ["Apple GPU"]
        has_cuda, package = torch.version.cuda is not None, "the CUDA build of torch"
        return Device(f"PyTorch {torch.__version__}", names, has_cuda, package, needs_wsl=False)

    def run_chunk(
        self, model: Any, step: Callable[..., Any], scheduled: bool, chunk: Chunk, *state: Any
    ) -> Any:
        def make(batch: torch.Tensor, rate: torch.Tensor) -> Any:
            if scheduled:
                model.optimizer.learning_rate.assign(rate)
            return step((batch,))

        batches = keras.ops.convert_to_tensor(chunk.batches)
        rates = torch.as_tensor(chunk.rates, device=batches.device)
        # Keras evaluates without gradients.
        function = model.train_function if torch.is_grad_enabled() else model.test_function
        replays = None
        if function is not None and not model.run_eagerly and not model.jit_compile:
            replays = self._replays.setdefault(function, {})
            key = (scheduled, batches.shape[1:], batches.dtype, *_what_is_trained(model))
        for batch, rate in zip(batches, rates, strict=True):
            if replays is None:
                logs = make(batch, rate)
            elif key in replays:
                logs = replays[key](batch, rate)
            else:
                replays[key], logs = self._record(model, make, batch, rate)
        return logs

    def _record(
        self, model: Any, make: Callable[..., Any], *inputs: torch.Tensor
    ) -> tuple[Callable[..., Any], Any]:
        """Make a step; return what makes the next ones, and the logs."""
        try:
            recorded = record(make, *inputs)
        except Exception as error:
            logs = make(*inputs)  # which raises what is wrong with the step itself
            if model not in self._told:
                self._told.add(model)
                reason = str(error).partition("\n")[0] or type(error).__name__
                say(f"Each step of {model.name} goes through Keras, which takes longer: {reason}.")
            return make, logs
        model.zero_grad()
        return recorded

    def compile_network(self, network: keras.Model) -> Callable[..., Any]:
        @torch.no_grad()
        def compute(*x: np.ndarray) -> Any:
            return network(x[0] if len(x) == 1 else list(x))

        return compute

    def shapes_only(self) -> Any:
        # Where Keras cannot find a shape on the device "meta", whose tensors hold no numbers, it computes on
        # real arrays instead, and asks nobody.
        return _OnlyOnMeta()


def _what_is_trained(model: Any) -> Iterator[Any]:
    variables = (*model.variables, *(model.optimizer.variables if model.optimizer else ()))
    yield tuple((id(variable.value), variable.value.data_ptr()) for variable in variables)
    yield tuple(variable.trainable for variable in variables)
    yield tuple(layer.trainable for layer in all_layers(model))


class _OnlyOnMeta(TorchFunctionMode):
    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if str(kwargs.get("device") or "meta") != "meta":
            raise ValueError("PyTorch cannot tell a shape without computing")
        return function(*args, **kwargs)


backend = PyTorch()
