"""What the Keras backend computes on, in plain words."""

import os
import platform
import shutil
import subprocess

from vae._checks import check_flag
from vae._keras import keras
from vae.backends import Device, backend


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
    device = backend.inspect()
    problem = _gpu_step_error() if device.gpus else _why_no_gpu(device)
    if device.gpus and not problem:
        return f"{device.title} computes on the GPU: {', '.join(device.gpus)}."
    if device.gpus:
        text = f"{device.title} sees the GPU {', '.join(device.gpus)}, but cannot compute on it: {problem}"
    else:
        text = f"{device.title} computes on the CPU ({os.cpu_count()} cores). {problem}"
    if require_gpu:
        raise RuntimeError(f"A GPU was required. {text}")
    return text


def _gpu_step_error() -> str:
    """Run one compiled matrix product where the backend puts it; return the error's first line, or ''."""
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(8, kernel_initializer="ones")])
    model.compile(jit_compile=True)
    try:
        model.predict_on_batch(keras.ops.convert_to_numpy(keras.ops.ones((8, 8))))
    except Exception as error:  # each backend and driver has its own error types
        return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    return ""


def _why_no_gpu(device: Device) -> str:
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    found = _nvidia_gpus()
    if not found:
        return "No GPU was found."
    machine = f"This machine has {', '.join(found)}, which is not used: "
    if hidden is not None and hidden.split(",")[0].strip() in ("", "-1"):
        return f"{machine}the environment variable CUDA_VISIBLE_DEVICES={hidden!r} hides it."
    if platform.system() == "Windows" and device.needs_wsl:
        return f"{machine}on Windows, {device.title} reaches a GPU only through WSL 2."
    if not device.has_gpu_code:
        return f"{machine}this {device.title} was built without CUDA. Install {device.package}."
    return f"{machine}{device.title} could not load the CUDA libraries. Install {device.package}."


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
