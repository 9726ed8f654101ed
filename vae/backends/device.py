"""What the Keras backend computes on, in plain words.

With `training` and `_distribution`, the only module whose code depends on the backend.
"""

import os
import platform
import shutil
import subprocess
from typing import NamedTuple

from vae._checks import check_flag
from vae._keras import keras


class _Backend(NamedTuple):
    """What a backend says of itself."""

    title: str  # "TensorFlow 2.21.0"
    gpus: list[str]  # names of the GPUs it sees
    has_gpu_code: bool  # whether this build can use one at all
    package: str  # what to install for one


def describe_device(require_gpu: bool = False) -> str:
    """Say in one or two sentences what training will run on, and why not on a GPU where one is idle.

    A GPU is not taken at its word: a small compiled matrix product has to run on it.

    Args:
        require_gpu: Whether to raise an error, instead of returning, where no GPU will be used.

    Returns:
        For example "TensorFlow 2.21.0 computes on the CPU (2 cores). No GPU was found."

    Raises:
        RuntimeError: `require_gpu` is set and no GPU will be used; the message says why.
        ValueError: `require_gpu` is no bool.

    Example:
        >>> import vae
        >>> print(vae.describe_device())  # doctest: +SKIP
        TensorFlow 2.21.0 computes on the CPU (2 cores). No GPU was found.
    """
    require_gpu = check_flag("require_gpu", require_gpu)
    backend = _inspect_backend()
    problem = _gpu_step_error() if backend.gpus else _why_no_gpu(backend)
    if backend.gpus and not problem:
        return f"{backend.title} computes on the GPU: {', '.join(backend.gpus)}."
    if backend.gpus:
        text = f"{backend.title} sees the GPU {', '.join(backend.gpus)}, but cannot compute on it: {problem}"
    else:
        text = f"{backend.title} computes on the CPU ({os.cpu_count()} cores). {problem}"
    if require_gpu:
        raise RuntimeError(f"A GPU was required. {text}")
    return text


def has_gpu() -> bool:
    """Tell whether the backend sees a GPU."""
    return bool(_inspect_backend().gpus)


def _inspect_backend() -> _Backend:
    name = keras.backend.backend()
    inspectors = {"tensorflow": _inspect_tensorflow, "jax": _inspect_jax, "torch": _inspect_torch}
    if name not in inspectors:
        return _Backend(f"Keras backend {name}", [], False, "a backend that trains: tensorflow, jax or torch")
    return inspectors[name]()


def _inspect_tensorflow() -> _Backend:
    import tensorflow as tf

    devices = tf.config.list_physical_devices("GPU")
    names = [
        tf.config.experimental.get_device_details(device).get("device_name", device.name)
        for device in devices
    ]
    return _Backend(f"TensorFlow {tf.__version__}", names, tf.test.is_built_with_cuda(), "vae[gpu]")


def _inspect_jax() -> _Backend:
    import jax

    names = [device.device_kind for device in jax.local_devices() if device.platform == "gpu"]
    has_cuda = any(_installed(f"jax-cuda{version}-plugin") for version in (12, 13))
    return _Backend(f"JAX {jax.__version__}", names, has_cuda, "jax[cuda13]")


def _inspect_torch() -> _Backend:
    import torch

    # Keras puts PyTorch tensors on Apple's GPU too, where there is one.
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if not names and torch.backends.mps.is_available():
        names = ["Apple GPU"]
    has_cuda = torch.version.cuda is not None
    return _Backend(f"PyTorch {torch.__version__}", names, has_cuda, "the CUDA build of torch")


def _installed(distribution: str) -> bool:
    from importlib.metadata import PackageNotFoundError, version

    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def _gpu_step_error() -> str:
    """Run one compiled matrix product where the backend puts it; return the error's first line, or ''."""
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(8, kernel_initializer="ones")])
    model.compile(jit_compile=True)
    try:
        model.predict_on_batch(keras.ops.convert_to_numpy(keras.ops.ones((8, 8))))
    except Exception as error:  # each backend and driver has its own error types
        return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    return ""


def _why_no_gpu(backend: _Backend) -> str:
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    found = _nvidia_gpus()
    if not found:
        return "No GPU was found."
    machine = f"This machine has {', '.join(found)}, which is not used: "
    if hidden is not None and hidden.split(",")[0].strip() in ("", "-1"):
        return f"{machine}the environment variable CUDA_VISIBLE_DEVICES={hidden!r} hides it."
    if platform.system() == "Windows" and keras.backend.backend() != "torch":
        return f"{machine}on Windows, {backend.title} reaches a GPU only through WSL 2."
    if not backend.has_gpu_code:
        return f"{machine}this {backend.title} was built without CUDA. Install {backend.package}."
    return f"{machine}{backend.title} could not load the CUDA libraries. Install {backend.package}."


def _nvidia_gpus() -> list[str]:
    """Return the names of NVIDIA GPUs that the driver reports, whatever the backend thinks."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=name", "--format=csv,noheader"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in result.stdout.splitlines() if line.strip()]
