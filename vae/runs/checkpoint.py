"""A run that can be killed at any moment and taken up again, bit for bit.

All that the next epoch depends on goes into one file at the end of each: variables (weights, optimizer,
seed generators), history, what callbacks remember, the seed of the order of the data. The file is written
under another name and moved into place whole, so there is always a good one. Keras's own
`BackupAndRestore` keeps neither the seed generators nor what callbacks remember.
"""

import contextlib
import inspect
import io
import json
import numbers
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vae._checks import check_path
from vae._keras import keras
from vae._terminal import on_terminal, say
from vae.files import ModelFileError
from vae.files.atomic import sweep, write_whole
from vae.runs.distribution import checksum_of_rows, is_first_process
from vae.training.recipe import RECIPE

# What a run has no need to have in common with the one that it continues: names, which Keras counts up in a
# process, and how weights begin.
_EITHER_WAY = {
    *("name", "inbound_nodes", "input_layers", "output_layers"),
    *("kernel_initializer", "bias_initializer"),
}

_UNLESS_SAID = {"trainable": True, "dtype": "float32"}  # checkpoints of 0.1.0 say nothing of them


class Checkpoint(keras.callbacks.History):
    """The history of a run, kept in a folder together with all else that the run needs to go on.

    To stand behind the callbacks of the user: it then writes what they made of the epoch, and gives
    them back their memory after they have cleared it for a new run.

    Args:
        folder: Where the checkpoint is; made where it is missing.
        settings: What the run must have in common with the one that it continues; JSON.
        seed: Of the order of the data; a resumed run takes over the one that is kept.
    """

    def __init__(self, folder: Any, settings: dict[str, Any], seed: int) -> None:
        super().__init__()
        self.path = _checked_folder(folder) / "checkpoint.npz"
        self.settings = json.loads(json.dumps(settings))  # as they will be read: tuples become lists
        self.seed = seed
        self.epochs_done, self.stopped, self.finished = 0, False, False
        self._epochs_kept = 0  # written, where `epochs_done` may only be about to be
        self._writes = is_first_process()  # all have the same to write
        self._memories: list[Any] = []
        self._arrays: dict[str, np.ndarray] = {}
        if self._writes:
            sweep(self.path)
        if self.path.exists():
            self._read()

    def restore(self, model: Any) -> None:
        """Give the model the state in which the checkpoint was written, if there is one.

        The callbacks of a finished run have their memory back, too; of others, when they begin.
        """
        if not self._arrays:
            return
        kept = [self._arrays[name] for name in self._arrays if name.startswith("variable/")]
        variables = _variables(model)
        shapes = [array.shape for array in kept], [tuple(variable.shape) for variable in variables]
        if shapes[0] != shapes[1]:
            raise ValueError(f"checkpoint must be of the same model; {str(self.path)!r} has other variables.")
        for variable, array in zip(variables, kept, strict=True):
            variable.assign(array)
        self.set_model(model)
        self.epoch = list(range(self.epochs_done))
        model.history = self
        if self.finished:
            self._restore_memories()

    def follow(self, callbacks: list[Any]) -> list[Any]:
        """Return the callbacks of the run, this one last; their memory is kept, too."""
        self._followed = [(callback, _memory(callback)) for callback in callbacks]
        return [*callbacks, self]

    def _restore_memories(self) -> None:
        """Give the callbacks their memory back."""
        for (callback, _), memory in zip(self._followed, self._memories, strict=False):
            if memory["class"] == type(callback).__name__:
                vars(callback).update(self._unpacked(memory["values"]))

    # While the run goes on

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Write the state before the first epoch, or give the callbacks their memory back."""
        self.epoch = list(range(self.epochs_done))
        self._restore_memories()
        if not self._arrays:
            self._write()  # a full disk is better met now than after an epoch
        self._arrays, self._memories = {}, []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the epoch to the history, and write."""
        super().on_epoch_end(epoch, {name: _as_json(value) for name, value in (logs or {}).items()})
        self.epochs_done, self.stopped = epoch + 1, bool(self.model.stop_training)
        self._write()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Write the end of the run, after callbacks have brought back the best weights, say."""
        self.finished = True
        self._write()

    def kept(self) -> str:
        """Say what the folder holds."""
        if not self.path.exists():
            return f"nothing is kept in {str(self.path)!r} yet"
        return f"{self._epochs_kept} of {self.settings['epochs']} epochs are kept in {str(self.path)!r}"

    # The file: the arrays, and one of them the JSON of everything else

    def _write(self) -> None:
        if not self._writes:
            return
        arrays = {f"variable/{i}": _as_array(v) for i, v in enumerate(_variables(self.model))}
        memories = [
            {"class": type(callback).__name__, "values": _packed(_memory(callback, before), arrays)}
            for callback, before in self._followed
        ]
        rest = {
            "settings": self.settings,
            "seed": self.seed,
            "epochs_done": self.epochs_done,
            "stopped": self.stopped,
            "finished": self.finished,
            "history": self.history,
            "callbacks": memories,
        }
        file = io.BytesIO()
        arrays["json"] = np.frombuffer(json.dumps(rest).encode(), np.uint8)
        np.savez(file, **arrays)  # type: ignore[arg-type]  # its own arguments stand before the arrays
        try:
            write_whole(self.path, file.getbuffer(), durable=True)
        except OSError as error:
            message = f"checkpoint could not be written ({error.strerror}); {self.kept()}"
            raise OSError(error.errno, message) from error
        self._epochs_kept = self.epochs_done

    def _read(self) -> None:
        content = self.path.read_bytes()
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}  # read whole: the zip's CRCs are checked
            rest = json.loads(arrays.pop("json").tobytes())
            settings = dict(rest["settings"])
            self._memories, self.history = rest["callbacks"], rest["history"]
            self.stopped, self.finished = rest["stopped"], rest["finished"]
            seed, epochs_done = int(rest["seed"]), int(rest["epochs_done"])
        except Exception as error:  # zipfile, NumPy and json each have their own
            raise ModelFileError(
                f"checkpoint must hold a whole checkpoint; {str(self.path)!r} cannot be read: "
                f"{error!s:.200}. Delete it to start anew."
            ) from error
        given = self.settings
        if given.get("seed") is None:  # not to seed a run again is no other setting
            given = {**given, "seed": settings.get("seed")}
        difference = _difference(settings, given)
        if difference:
            raise ValueError(
                f"checkpoint must be of the same settings; {str(self.path)!r} differs in {difference}. "
                "Give the settings that it has, or another folder."
            )
        self.settings, self.seed, self.epochs_done, self._arrays = settings, seed, epochs_done, arrays
        self._epochs_kept = epochs_done

    def _unpacked(self, value: Any) -> Any:
        if isinstance(value, dict):
            if "array" in value:
                array = self._arrays[value["array"]]
                return array if array.ndim else array[()]
            return {name: self._unpacked(item) for name, item in value["dict"].items()}
        return [self._unpacked(item) for item in value] if isinstance(value, list) else value


def describe_data(x: Any) -> Any:
    """Return by what a resumed run knows its data again: size, type and a checksum of some rows."""
    if not isinstance(x, np.ndarray):
        return None if x is None else type(x).__name__
    return {"shape": x.shape, "dtype": str(x.dtype), "checksum": checksum_of_rows(x)}


def describe_model(model: Any) -> dict[str, Any]:
    """Return what the run makes of a model besides its weights: its config and how it was compiled."""
    config = {k: v for k, v in model.get_config().items() if (k, v) not in _UNLESS_SAID.items()}
    described: dict[str, Any] = {"model": config, "compile": model.get_compile_config()}
    if described["compile"].get("optimizer") is None:
        described["recipe"] = RECIPE._asdict()
    return dict(json.loads(json.dumps(described, default=str)))


def _checked_folder(folder: Any) -> Path:
    path = Path(os.path.expanduser(check_path("checkpoint", folder)))
    if path.exists() and not path.is_dir():
        raise ValueError(f"checkpoint must be a folder; {str(path)!r} is a file.")
    return path


def _variables(model: Any) -> list[Any]:
    return [*model.variables, *model.optimizer.variables]


def _as_array(variable: Any) -> np.ndarray:
    array = np.asarray(keras.ops.convert_to_numpy(variable.value))
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array  # exact, and NumPy's own


def _as_json(value: Any) -> Any:
    """Return what a log holds, mostly one number of some kind, as JSON can."""
    return float(value) if isinstance(value, numbers.Real | np.generic) else str(value)


def _difference(kept: Any, given: Any, place: str = "") -> str:
    """Return where two settings first differ, and how; "" where they do not."""
    if isinstance(kept, dict) and isinstance(given, dict):
        keys = [key for key in {**kept, **given} if key not in _EITHER_WAY]
        pairs = [(key, kept.get(key), given.get(key)) for key in keys]
    elif isinstance(kept, list) and isinstance(given, list) and len(kept) == len(given):
        pairs = [(i, *pair) for i, pair in enumerate(zip(kept, given, strict=True))]
    else:
        return "" if kept == given else f"{place}: {kept!r:.80} in the checkpoint, {given!r:.80} now"
    places = ((f"{place}.{key}".lstrip("."), a, b) for key, a, b in pairs)
    return next(filter(None, (_difference(a, b, inner) for inner, a, b in places)), "")


# What callbacks remember: numbers, strings, and lists and dictionaries of those and of arrays. So
# EarlyStopping and ReduceLROnPlateau go on counting, ModelCheckpoint keeps its best, a film its frames.


def _memory(callback: Any, before: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return what a callback remembers; given what it did before the run, only what is new."""
    settings = {*inspect.signature(type(callback)).parameters, "params", "model", "_model"}
    values = {name: value for name, value in vars(callback).items() if name not in settings and _plain(value)}
    if before is None:
        return values
    # A list may have been added to in place, so that it equals itself.
    return {
        n: v for n, v in values.items() if isinstance(v, list | dict) or n not in before or v != before[n]
    }


def _plain(value: Any, inside: bool = False) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _plain(item, True) for key, item in value.items())
    if isinstance(value, list):
        return all(_plain(item, True) for item in value)
    if isinstance(value, np.ndarray):  # one by itself is rather what the callback was given
        return inside and value.dtype.kind in "fiub"
    return value is None or isinstance(value, str | bool | numbers.Real | np.generic)


def _packed(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Return the value as JSON, its arrays put aside."""
    if isinstance(value, dict):
        return {"dict": {name: _packed(item, arrays) for name, item in value.items()}}
    if isinstance(value, list):
        return [_packed(item, arrays) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        name = f"callback/{len(arrays)}"
        arrays[name] = np.asarray(value)
        return {"array": name}
    return value


@contextlib.contextmanager
def interruption_reported(checkpoint: Checkpoint | None) -> Iterator[None]:
    """Say in one line what is kept where Ctrl-C ends a run."""
    try:
        yield
    except KeyboardInterrupt:
        if checkpoint is not None:
            end_of_bar = "\n" if on_terminal() else ""
            say(f"{end_of_bar}Interrupted: {checkpoint.kept()}; the same call goes on from there.")
        raise
