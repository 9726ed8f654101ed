import keras
import pytest

import vae
from vae.backends import Device, device

CPU_ONLY = Device("TensorFlow 2", [], False, "vae[gpu]")
CUDA_BUILD = Device("TensorFlow 2", [], True, "vae[gpu]")
WITH_GPU = Device("TensorFlow 2", ["NVIDIA A100"], True, "vae[gpu]")


@pytest.fixture
def pretend(monkeypatch):
    """Put the module on a machine with the given backend and NVIDIA cards."""

    def on(backend, cards=(), system="Linux", visible=None, step_error=""):
        monkeypatch.setattr(device.backend, "inspect", lambda: backend)
        monkeypatch.setattr(device, "_nvidia_gpus", lambda: list(cards))
        monkeypatch.setattr(device, "_gpu_step_error", lambda: step_error)
        monkeypatch.setattr(device.platform, "system", lambda: system)
        if visible is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        else:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    return on


def test_the_real_machine_is_described():
    text = vae.describe_device()
    titles = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
    assert text.startswith(titles[keras.backend.backend()])
    assert "computes on the" in text


def test_a_step_can_be_tried():
    assert device._gpu_step_error() == ""


def test_a_gpu_is_named(pretend):
    pretend(WITH_GPU)
    assert vae.describe_device(require_gpu=True) == "TensorFlow 2 computes on the GPU: NVIDIA A100."


@pytest.mark.parametrize(
    ("machine", "reason"),
    [
        ({"backend": CPU_ONLY}, "No GPU was found"),
        ({"backend": CPU_ONLY, "cards": ["RTX 4090"]}, r"RTX 4090.*built without CUDA\. Install vae\[gpu\]"),
        ({"backend": CUDA_BUILD, "cards": ["RTX 4090"]}, "could not load the CUDA libraries"),
        (
            {"backend": CUDA_BUILD, "cards": ["RTX 4090"], "visible": "-1"},
            "CUDA_VISIBLE_DEVICES='-1' hides it",
        ),
        ({"backend": CPU_ONLY, "cards": ["RTX 4090"], "system": "Windows"}, "only through WSL 2"),
        ({"backend": WITH_GPU, "step_error": "InternalError: no PTX"}, "cannot compute on it: InternalError"),
    ],
)
def test_why_there_is_no_gpu(pretend, machine, reason):
    pretend(**machine)
    with pytest.raises(RuntimeError, match=f"A GPU was required.*{reason}"):
        vae.describe_device(require_gpu=True)
    if machine["backend"] is not WITH_GPU:
        assert "computes on the CPU" in vae.describe_device()


def test_a_driver_that_fails_counts_as_no_gpu(monkeypatch, tmp_path):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nexit 9\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert device._nvidia_gpus() == []
    program.write_text("#!/bin/sh\necho NVIDIA H200\necho NVIDIA H200\n")
    assert device._nvidia_gpus() == ["NVIDIA H200", "NVIDIA H200"]
