"""A run folder: what `vae train` leaves in it, and what the other commands read back.

It holds model.keras, history.csv (a row an epoch), figures/ and, written last, settings.json: a folder that
has it holds a complete run. Until then it has options.json and checkpoint.npz, from which the run can go on.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from vae.files.atomic import write_whole


class RunFolder:
    """The folder of one run, which need not be there yet, and the names of what is in it."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.model = self.path / "model.keras"
        self.history = self.path / "history.csv"
        self.figures = self.path / "figures"
        self.settings = self.path / "settings.json"
        self.checkpoint = self.path / "checkpoint.npz"
        self.options = self.path / "options.json"

    def __str__(self) -> str:
        """The path."""
        return str(self.path)

    def check_free(self, resume: bool) -> None:
        """Raise a ValueError where no run can be made; one that was begun may be resumed."""
        path = self.path
        begun = self.checkpoint.exists() or self.settings.exists() or self.options.exists()
        if path.is_dir() and any(path.iterdir()) and not (resume and begun):
            hint = "; with --resume, an unfinished run goes on" if begun else ""
            raise ValueError(f"--out must be a new or empty folder; {path} has something in it{hint}.")
        if not path.is_dir() and os.path.lexists(path):
            raise ValueError(f"--out must be a new or empty folder; {path} is a file.")
        there = next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())
        if not there.is_dir() or not os.access(there, os.W_OK):
            raise ValueError(f"--out must be a folder that can be made; {there} cannot be written into.")

    def begin(self, options: dict[str, Any]) -> None:
        """Keep the options, so that the run can go on without being told them again."""
        write_whole(self.options, json.dumps(options, indent=2, ensure_ascii=False).encode())

    def same_options(self, options: dict[str, Any], given: set[str]) -> dict[str, Any]:
        """Return the options of the run that is here; a ValueError where one that is given differs."""
        if self.settings.exists():
            kept = self.read_settings()[2]
        elif self.options.exists():
            try:
                kept = dict(json.loads(self.options.read_text(encoding="utf-8")))
            except (ValueError, TypeError) as error:
                raise ValueError(f"{self.options} is damaged ({type(error).__name__}: {error}).") from error
        else:  # begun by version 0.1.0, which kept none: the checkpoint knows whether they differ
            if options["data"] is None:
                old = f"{self} was begun by version 0.1.0, which kept no options"
                raise ValueError(f"--data must be given, and all other options as before: {old}.")
            return options
        for name in given:
            if options[name] not in (kept.get(name), "auto"):
                option, was = f"--{name.replace('_', '-')}", kept.get(name)
                raise ValueError(f"{option} must be as in the run {self}: {was!r}; got {options[name]!r}.")
        return {name: kept.get(name, value) for name, value in options.items()}

    def write_history(self, history: Any) -> None:
        """Write a Keras history as CSV."""
        names = sorted(history.history)
        rows = zip(history.epoch, *(history.history[name] for name in names), strict=True)
        lines = [",".join(["epoch", *names]), *(",".join(map(repr, row)) for row in rows)]
        write_whole(self.history, "".join(f"{line}\n" for line in lines).encode())

    def complete(self, options: dict[str, Any], data: Any, facts: dict[str, Any]) -> None:
        """Write the settings, by which the run is complete, and let the checkpoint go."""
        from vae.backends import backend

        versions = {name: sys.modules[name].__version__ for name in ("vae", "keras", backend.name, "numpy")}
        versions = {"python": ".".join(map(str, sys.version_info[:3])), **versions}
        numbers = {"training_images": len(data.x_train), "test_images": len(data.x_test)}
        images = {"image_shape": list(data.x_train.shape[1:]), "class_names": list(data.class_names)}
        described = {"name": data.name, "source": options["data"], **numbers, **images}
        run = {"options": options, "data": described, "seed": options["seed"], "backend": backend.name}
        text = json.dumps({**run, "versions": versions, **facts}, indent=2, ensure_ascii=False)
        write_whole(self.settings, f"{text}\n".encode())
        self.checkpoint.unlink(missing_ok=True)
        self.options.unlink(missing_ok=True)

    def read_settings(self) -> tuple[tuple[int, ...], str, dict[str, Any]]:
        """Return of a complete run: shape of an image, data (a name or an absolute path), options by name."""
        if not self.settings.is_file():
            raise FileNotFoundError(f"RUN must be a complete run of vae train; {self} has no settings.json.")
        try:
            settings = json.loads(self.settings.read_text(encoding="utf-8"))
            shape = tuple(int(size) for size in settings["data"]["image_shape"])
            if len(shape) not in (2, 3):
                raise ValueError(f"image_shape is {shape}")
            numbers = {name: int(settings["options"][name]) for name in ("latent_dim", "seed")}
            return shape, str(settings["data"]["source"]), {**settings["options"], **numbers}
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{self.settings} is damaged ({type(error).__name__}: {error}).") from error
