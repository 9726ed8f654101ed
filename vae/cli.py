"""The `vae` command: train a model into a run folder, then make new images and the latent page from it.

What takes long to import (Keras, the plotting libraries, NumPy) is imported inside the commands, so that
`--help` answers at once. A user's mistake costs one line on stderr and exit code 2, never a traceback.
"""

import json
import math
import os
import re
import shlex
import sys
import time
import warnings
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

import vae

if TYPE_CHECKING:
    import numpy as np

F = TypeVar("F", bound=Callable[..., Any])

_DATA = ("mnist", "digits", "auto")
_MISTAKES = (ValueError, TypeError, OSError, FloatingPointError, ImportError, MemoryError)
_INTERRUPTED = 130  # what a shell reports after Ctrl-C
_HELP_COLUMNS = 100  # where the terminal has as many
_MOST_IMAGES = 10_000
_SHEET_PIXELS = 900  # about the longer side of a sheet; small images are enlarged to reach it
_GAP = 1  # pixels between the images of a sheet, before they are enlarged
_GRID_PIXELS = 2000  # of the digit grid: large images are fewer, but 10 x 10 at least


class _Commands(click.Group):
    """The commands, with click's own errors and the package's brought into one line."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["standalone_mode"] = False  # click would print its errors in three lines
        try:
            status = super().main(*args, **kwargs)
        except click.ClickException as error:
            click.echo(f"Error: {_one_line(error.format_message())}", err=True)
            status = 2
        sys.exit(status)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            end = "\n" if sys.stdout.isatty() else ""  # Keras's bar has left its line open
            click.echo(f"{end}Interrupted. {stop}".rstrip(), err=True)
            ctx.exit(_INTERRUPTED)
        except BrokenPipeError:  # the reader of the output went away; click knows what to do
            raise
        except _MISTAKES as error:
            raise click.ClickException(_reason(error)) from error


class _Size(click.ParamType):
    """HEIGHTxWIDTH, such as 28x28."""

    name = "HxW"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return (height, width)."""
        match = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})", str(value))
        if match is None:
            self.fail(f"{value!r} is not HEIGHTxWIDTH in pixels, such as 28x28.", param, ctx)
        return int(match[1]), int(match[2])


def _option(*names: str, **kwargs: Any) -> Callable[[F], F]:
    return click.option(*names, show_default="default" in kwargs, **kwargs)


_COUNT, _LATENT_DIM, _SEED = click.IntRange(1), click.IntRange(1, 1024), click.IntRange(0, 2**32 - 1)
_COLOR = click.Choice(["grayscale", "rgb"])
_RUN = click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
_OUT = click.Path(path_type=Path)


@click.group(
    cls=_Commands, invoke_without_command=True, context_settings={"max_content_width": _HELP_COLUMNS}
)
@click.version_option(vae.__version__, prog_name="vae", message="%(prog)s %(version)s")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Train variational autoencoders, make new images, explore the latent space.

    \b
    vae train --data digits --out first
    vae generate first
    vae explore first
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@main.command(short_help="Train a model into a folder.")
@_option("--data", required=True, metavar="DATA", help="mnist, digits, auto, or a folder of images.")
@_option("--out", required=True, type=_OUT, metavar="RUN", help="Folder to make; new or empty.")
@_option("--conv", is_flag=True, help="Convolutional networks instead of dense ones.")
@_option("--latent-dim", default=2, type=_LATENT_DIM, metavar="N", help="Size of the latent space.")
@_option("--epochs", default=25, type=_COUNT, metavar="N", help="Passes over the data.")
@_option("--batch-size", type=_COUNT, metavar="N", help="Images a step.  [default: 32]")
@_option("--beta", default=1.0, metavar="X", help="Weight of the KL term.")
@_option("--reconstruction", default="mse", type=click.Choice(["mse", "bernoulli"]), help="The other term.")
@_option("--size", type=_Size(), metavar="HxW", help="Pixels of a folder's images.  [default: 28x28]")
@_option("--color", type=_COLOR, help="Of a folder's images.  [default: grayscale]")
@_option("--seed", default=0, type=_SEED, metavar="N", help="One seed, one result.")
@_option("--resume", is_flag=True, help="Go on with a run that was cut off.")
def train(**options: Any) -> None:
    """Train a model and write it, its losses and its pictures into the folder RUN.

    RUN gets model.keras, history.csv (a row an epoch), figures/ and, last, settings.json: a run that
    has it is complete. Until then it has checkpoint.npz, from which the same command with --resume goes
    on, with the result that it would have had. A folder of images may have a subfolder for each class;
    where it is named like a data set, write ./mnist.
    """
    from vae._checks import check_beta

    run, started = options["out"], datetime.now().astimezone()
    check_beta("--beta", options["beta"])
    resume = options.pop("resume")
    _check_out(run, resume)
    if resume and (run / "settings.json").exists():
        _check_same(run, options)
        click.echo(f"{run} is complete; nothing is left to do.")
        return
    data, source = _load(options["data"], options["size"], options["color"], options["seed"])
    model = _build(data.x_train.shape[1:], options)
    options = {**options, "data": source, "out": os.path.abspath(run)}
    try:
        _make_run(run, model, data, options, started)
    except KeyboardInterrupt:
        kept = (run / "checkpoint.npz").exists()
        hint = (
            "The same command with --resume goes on."
            if kept
            else f"{run} holds no complete run and may be deleted."
        )
        raise KeyboardInterrupt(hint) from None


@main.command(short_help="Write a sheet of new images.")
@_RUN
@_option("-n", default=100, type=click.IntRange(1, _MOST_IMAGES), metavar="N", help="How many images.")
@_option("--seed", type=_SEED, metavar="N", help="The same images each time.")
@_option("--out", type=_OUT, metavar="FILE.png", help="[default: RUN/generated.png]")
def generate(run: Path, n: int, seed: int | None, out: Path | None) -> None:
    """Draw new images from the prior and write them as one sheet, a PNG."""
    from vae.files.atomic import write_whole

    out = _check_suffix(out or run / "generated.png", ".png")
    settings = _read_settings(run)
    model = vae.load_model(run / "model.keras")
    sheet = _sheet(model.generate(n, seed), settings.image_shape)
    write_whole(out, sheet)
    click.echo(f"{n:,} new images: {out}")


@main.command(short_help="Write the latent page.")
@_RUN
@_option("--data", metavar="DATA", help="As for train.  [default: the data of RUN]")
@_option("--out", type=_OUT, metavar="FILE.html", help="[default: RUN/latent.html]")
def explore(run: Path, data: str | None, out: Path | None) -> None:
    """Write the latent page: one HTML file in which the latent plane can be walked, in any browser.

    It shows the test images of the data. The run must have a latent space of 2 dimensions.
    """
    out = _check_suffix(out or run / "latent.html", ".html")
    settings = _read_settings(run)
    if settings.latent_dim != 2:
        raise ValueError(f"RUN must have --latent-dim 2 to be explored; {run} has {settings.latent_dim}.")
    from vae.explorer import explore as write_page

    model = vae.load_model(run / "model.keras")
    size, color = settings.image_shape[:2], "rgb" if settings.image_shape[2:] else "grayscale"
    source = settings.source if data is None else data
    if source in _DATA:
        images, _ = _load(source, None, None, settings.seed)
    else:
        images, _ = _load(source, size, color, settings.seed)
    write_page(model, images.x_test, _labels(images), path=out, image_shape=settings.image_shape)
    click.echo(f"Latent page: {out}\nOpen it in a browser; it needs no network.")


# Checks and data


def _check_out(run: Path, resume: bool) -> None:
    begun = any((run / name).exists() for name in ("checkpoint.npz", "settings.json"))
    if run.is_dir() and any(run.iterdir()) and not (resume and begun):
        hint = "; with --resume, an unfinished run goes on" if begun else ""
        raise ValueError(f"--out must be a new or empty folder; {run} has something in it{hint}.")
    if not run.is_dir() and os.path.lexists(run):
        raise ValueError(f"--out must be a new or empty folder; {run} is a file.")
    there = next(path for path in (run.absolute(), *run.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ValueError(f"--out must be a folder that can be made; {there} cannot be written into.")


def _check_same(run: Path, options: dict[str, Any]) -> None:
    """Compare the options of a complete run with those given; one that finds "auto" takes what there is."""
    kept = _read_settings(run).options
    given = {**options, "out": kept.get("out"), "size": options["size"] and list(options["size"])}
    if given["data"] not in _DATA:
        given["data"] = os.path.abspath(os.path.expanduser(given["data"]))
    for name, value in given.items():
        if kept.get(name) != value and (name, value) != ("data", "auto"):
            option = f"--{name.replace('_', '-')}"
            raise ValueError(f"{option} must be as in the run {run}: {kept.get(name)!r}; got {value!r}.")


def _check_suffix(path: Path, suffix: str) -> Path:
    if path.suffix.lower() != suffix:
        raise ValueError(f"--out must end in {suffix}; got {str(path)!r}.")
    if path.is_dir():
        raise ValueError(f"--out must be a file; {path} is a folder.")
    return path


def _load(source: str, size: Any, color: str | None, seed: int) -> tuple[Any, str]:
    """Return the data, and what to load them by again: "mnist", "digits" or an absolute path."""
    if source not in _DATA:
        if not os.path.isdir(os.path.expanduser(source)):
            raise ValueError(f"--data must be {', '.join(_DATA)} or a folder; there is no folder {source!r}.")
        return _load_folder(source, size or (28, 28), color or "grayscale", seed)
    if size is not None or color is not None:
        raise ValueError(f"--size and --color are for folders of images; {source} has its own.")
    try:
        data = vae.load_dataset(source)
    except vae.DatasetUnavailableError as error:
        tried = [line[4:] for line in str(error).splitlines() if line.startswith("  - ")]
        raise OSError(
            f"MNIST could not be had ({'; '.join(tried)}). Set VAE_DATA_DIR to a folder with mnist.npz, "
            "or use --data digits."
        ) from error
    return data, data.name


def _load_folder(folder: str, size: tuple[int, int], color: str, seed: int) -> tuple[Any, str]:
    from vae.data.folder import load_images

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = load_images(folder, size, color, seed=seed)
    for warning in caught:
        click.echo(f"Warning: {warning.message}", err=True)
    if not len(data.x_test):
        raise ValueError(f"--data must hold enough images to test on a fifth of each class; got {data}.")
    click.echo(f"{data}; from {folder}.")
    return data, os.path.abspath(os.path.expanduser(folder))


def _labels(data: Any) -> Any:
    """Return the labels of the test images, by name where they have names; None where all are one."""
    if len(data.class_names) == 1 or not data.y_test.any():
        return None
    return [data.class_names[label] for label in data.y_test] if data.class_names else data.y_test


# Training


def _build(image_shape: tuple[int, ...], options: dict[str, Any]) -> Any:
    from vae._keras import keras

    keras.utils.set_random_seed(options["seed"])
    latent_dim = options["latent_dim"]
    if options["conv"]:
        from vae.builders import build_conv_decoder, build_conv_encoder

        shape = image_shape if len(image_shape) == 3 else (*image_shape, 1)
        encoder = build_conv_encoder(shape, latent_dim=latent_dim)
        decoder = build_conv_decoder(latent_dim, image_shape=shape)
    else:
        pixels = math.prod(image_shape)
        encoder = vae.build_encoder(pixels, latent_dim=latent_dim)
        decoder = vae.build_decoder(latent_dim, output_dim=pixels)
    model = vae.VAE(encoder, decoder, beta=options["beta"], reconstruction=options["reconstruction"])
    model.compile()
    return model


def _make_run(run: Path, model: Any, data: Any, options: dict[str, Any], started: datetime) -> None:
    """Train, and write everything into the folder `run`, its settings last."""
    from vae._keras import keras
    from vae.files.atomic import write_whole

    clock, device = time.perf_counter(), vae.describe_device()
    click.echo(device)
    (run / "figures").mkdir(parents=True, exist_ok=True)
    history = model.fit(
        data.x_train,
        batch_size=options["batch_size"],
        epochs=options["epochs"],
        validation_data=data.x_test,
        checkpoint=run,
    )
    write_whole(run / "history.csv", _table(history))
    test_loss = model.evaluate(data.x_test, verbose=0, return_dict=True)
    model.save(run / "model.keras")
    _draw_figures(run / "figures", model, data, history)
    settings = {
        "options": options,
        "data": _describe_data(data, options["data"]),
        "seed": options["seed"],
        "device": device,
        "backend": keras.backend.backend(),
        "versions": _versions(),
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - clock, 1),
        "test_loss": {name: float(value) for name, value in test_loss.items()},
    }
    write_whole(run / "settings.json", (json.dumps(settings, indent=2, ensure_ascii=False) + "\n").encode())
    (run / "checkpoint.npz").unlink(missing_ok=True)
    click.echo(_summary(run, settings))


def _table(history: Any) -> bytes:
    """Return the history as CSV, a row an epoch."""
    names = sorted(history.history)
    rows = zip(history.epoch, *(history.history[name] for name in names), strict=True)
    lines = [",".join(["epoch", *names]), *(",".join(map(repr, row)) for row in rows)]
    return "".join(f"{line}\n" for line in lines).encode()


def _draw_figures(folder: Path, model: Any, data: Any, history: Any) -> None:
    shape, latent_dim = data.x_test.shape[1:], model.decoder.input_shape[-1]
    vae.plot_loss(history).savefig(folder / "loss.png")
    labels = _labels(data)
    vae.plot_reconstructions(model, data.x_test, labels).savefig(folder / "reconstructions.png")
    if latent_dim == 2:
        n = min(30, max(10, _GRID_PIXELS // max(shape[:2])))
        vae.plot_digit_grid(model, n, image_shape=shape).savefig(folder / "digit_grid.png")
    else:
        (folder / "generated.png").write_bytes(_sheet(model.generate(100, seed=0), shape))
    z_mean, _ = model.encode(data.x_test)
    # A plane needs two dimensions; of more, a large beta may press all points into one.
    if latent_dim == 2 or (latent_dim > 2 and (z_mean != z_mean[0]).any()):
        vae.plot_latent_space(z_mean, labels, static=True).savefig(folder / "latent_space.png")


def _describe_data(data: Any, source: str) -> dict[str, Any]:
    return {
        "name": data.name,
        "source": source,
        "training_images": len(data.x_train),
        "test_images": len(data.x_test),
        "image_shape": list(data.x_train.shape[1:]),
        "class_names": list(data.class_names),
    }


def _versions() -> dict[str, str]:
    from vae._keras import keras

    backend = keras.backend.backend()
    modules = {"vae": "vae", "keras": "keras", backend: backend, "numpy": "numpy"}
    versions = {name: getattr(sys.modules.get(module), "__version__", "") for name, module in modules.items()}
    return {"python": ".".join(map(str, sys.version_info[:3])), **versions}


def _summary(run: Path, settings: dict[str, Any]) -> str:
    loss, beta = settings["test_loss"], settings["options"]["beta"]
    weight = "" if beta == 1 else f"{beta:g} x "
    terms = f"reconstruction {loss['reconstruction_loss']:.2f} + {weight}KL {loss['kl_loss']:.2f}"
    name = shlex.quote(str(run))
    commands = [f"vae generate {name}"] + [f"vae explore {name}"] * (settings["options"]["latent_dim"] == 2)
    return "\n".join(
        [
            f"Test loss {loss['loss']:.2f} nats an image ({terms}), after {settings['seconds']:.0f} s.",
            f"In {run}: model.keras, history.csv, settings.json and figures/.",
            "Next: " + "\n      ".join(commands),
        ]
    )


# Runs that are there already


class _Settings(NamedTuple):
    """What is to be known of a run."""

    image_shape: tuple[int, ...]
    source: str
    latent_dim: int
    seed: int
    options: dict[str, Any]


def _read_settings(run: Path) -> _Settings:
    path = run / "settings.json"
    if not path.is_file():
        raise FileNotFoundError(f"RUN must be a complete run of vae train; {run} has no settings.json.")
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        shape = tuple(int(size) for size in settings["data"]["image_shape"])
        if len(shape) not in (2, 3):
            raise ValueError(f"image_shape is {shape}")
        source, options = str(settings["data"]["source"]), dict(settings["options"])
        return _Settings(shape, source, int(options["latent_dim"]), int(settings["seed"]), options)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} is damaged ({type(error).__name__}: {error}).") from error


def _sheet(images: "np.ndarray", image_shape: tuple[int, ...]) -> bytes:
    """Return images side by side on a white sheet, about square, as a PNG."""
    import io

    import numpy as np
    from PIL import Image

    from vae.data import unscale
    from vae.figures._shared import clip_pictures

    pictures = unscale(clip_pictures("generated images", images, image_shape))
    n, height, width, *channels = pictures.shape
    columns = min(n, math.ceil(math.sqrt(n * height / width)))
    step_y, step_x = height + _GAP, width + _GAP
    rows = -(-n // columns)
    sheet = np.full((rows * step_y + _GAP, columns * step_x + _GAP, *channels), 255, np.uint8)
    for i, picture in enumerate(pictures):
        y, x = i // columns * step_y + _GAP, i % columns * step_x + _GAP
        sheet[y : y + height, x : x + width] = picture
    factor = max(1, round(_SHEET_PIXELS / max(sheet.shape[:2])))
    png = io.BytesIO()
    Image.fromarray(sheet.repeat(factor, axis=0).repeat(factor, axis=1)).save(png, "png")
    return png.getvalue()


# Words


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.strerror}: {error.filename}"
    return str(error) or type(error).__name__


def _one_line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    main()
