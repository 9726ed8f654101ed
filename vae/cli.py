"""The `vae` command: train a model into a run folder, then make new images and the latent page from it.

What takes long to import (Keras, the plotting libraries, NumPy) is imported inside the commands, so that
`--help` answers at once. A user's mistake costs one line on stderr and exit code 2, never a traceback.
"""

import math
import os
import re
import shlex
import sys
import time
import warnings
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

import vae
from vae._terminal import on_terminal
from vae.runs.run_folder import RunFolder

_DATA = ("mnist", "digits", "auto")
_MISTAKES = (ValueError, TypeError, OSError, FloatingPointError, ImportError, MemoryError)
_INTERRUPTED = 130  # what a shell reports after Ctrl-C
_HELP = {"max_content_width": 100, "show_default": True}  # columns, where the terminal has as many
_MOST_IMAGES = 10_000
_GRID_PIXELS = 2000  # of the digit grid: large images are fewer, but 10 x 10 at least


class _Commands(click.Group):
    """The commands, with click's own errors and the package's brought into one line."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:  # standalone, click would print its errors in three lines
            sys.exit(super().main(*args, **{**kwargs, "standalone_mode": False}))
        except click.ClickException as error:
            reason = error.format_message()
        except _MISTAKES as error:
            reason = str(error) or type(error).__name__
            if isinstance(error, OSError) and error.strerror and error.filename:
                reason = f"{error.strerror}: {error.filename}"  # without "[Errno 13]"
        click.echo(f"Error: {' '.join(reason.split())}", err=True)
        sys.exit(2)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            end = "\n" if on_terminal() else ""  # Keras's bar has left its line open
            click.echo(f"{end}Interrupted. {stop}".rstrip(), err=True)
            ctx.exit(_INTERRUPTED)


def _size(value: str) -> list[int]:
    """Return HEIGHTxWIDTH as [height, width]: a list, as in the settings of a run, which are JSON."""
    match = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})", value)
    if match is None:
        raise click.BadParameter(f"{value!r} is not HEIGHTxWIDTH in pixels, such as 28x28.")
    return [int(match[1]), int(match[2])]


def _data(value: str) -> str:
    """Return the name of a data set, or the absolute path of a folder, for which the settings keep it."""
    folder = os.path.abspath(os.path.expanduser(value))
    if value not in _DATA and not os.path.isdir(folder):
        names = ", ".join(_DATA)
        raise click.ClickException(f"--data must be {names} or a folder; there is no folder {value!r}.")
    return value if value in _DATA else folder


def _target(out: Path | None, default: Path) -> Path:
    """Return where to write: a file whose name ends as the default's."""
    if out is not None and out.suffix.lower() != default.suffix:
        raise ValueError(f"--out must end in {default.suffix}; got {str(out)!r}.")
    return out or default


_data_option = partial(click.option, "--data", type=_data, metavar="DATA")
_out_option = partial(click.option, "--out", type=click.Path(dir_okay=False, path_type=Path))
_COUNT, _LATENT_DIM, _SEED = click.IntRange(1), click.IntRange(1, 1024), click.IntRange(0, 2**32 - 1)
_LOSSES, _COLORS = click.Choice(["mse", "bernoulli", "gaussian"]), click.Choice(["grayscale", "rgb"])
_NEW_RUN = click.Path(path_type=RunFolder)
_RUN = click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=RunFolder))


@click.group(cls=_Commands, invoke_without_command=True, context_settings=_HELP)
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
@_data_option(help="mnist, digits, auto, or a folder of images.")
@click.option("--out", required=True, type=_NEW_RUN, metavar="RUN", help="Folder to make; new or empty.")
@click.option("--conv", is_flag=True, help="Convolutional networks instead of dense ones.")
@click.option("--latent-dim", default=2, type=_LATENT_DIM, metavar="N", help="Size of the latent space.")
@click.option("--epochs", default=25, type=_COUNT, metavar="N", help="Passes over the data.")
@click.option("--batch-size", type=_COUNT, metavar="N", show_default="32", help="Images a step.")
@click.option("--beta", default=1.0, metavar="X", help="Weight of the KL term.")
@click.option("--reconstruction", default="mse", type=_LOSSES, help="The other term.")
@click.option("--size", type=_size, metavar="HxW", show_default="28x28", help="Pixels of a folder's images.")
@click.option("--color", type=_COLORS, show_default="grayscale", help="Of a folder's images.")
@click.option("--seed", default=0, type=_SEED, metavar="N", help="One seed, one result.")
@click.option("--resume", is_flag=True, help="Go on with a run that was cut off; needs only --out.")
@click.pass_context
def train(ctx: click.Context, out: RunFolder, resume: bool, **options: Any) -> None:
    """Train a model and write it, its losses and its pictures into the folder RUN.

    RUN gets model.keras, history.csv (a row an epoch), figures/ and, last, settings.json: a run that
    has it is complete. Until then it has options.json and checkpoint.npz, from which `vae train --out RUN
    --resume` goes on, with the result that it would have had. A folder of images may have a subfolder for
    each class; where it is named like a data set, write ./mnist.
    """
    from vae._checks import check_non_negative

    check_non_negative("--beta", options["beta"])
    out.check_free(resume)
    if resume:
        given = {name for name in options if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT}
        options = out.same_options(options, given)
    if options["data"] is None:
        raise ValueError("--data must be given: mnist, digits, auto, or a folder of images.")
    if out.settings.exists():
        click.echo(f"{out} is complete; nothing is left to do.")
        return
    named = options["data"] in _DATA
    if named and (options["size"] or options["color"]):
        raise ValueError(f"--size and --color are for folders of images; {options['data']} has its own.")
    data = _load(options["data"], options["size"], options["color"], options["seed"])
    model = _build(data.x_train.shape[1:], options)
    if named:
        options["data"] = data.name  # "auto" has become one of the two
    if not out.checkpoint.exists():  # one of 0.1.0 may yet refuse these options: kept, they would bar others
        out.begin(options)
    command = f"vae train --out {shlex.quote(str(out))} --resume"
    again = command if out.options.exists() else "the same command"
    try:
        _make_run(out, model, data, {"out": os.path.abspath(out.path), **options})
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"To go on: {again}") from None


@main.command(short_help="Write a sheet of new images.")
@_RUN
@click.option("-n", default=100, type=click.IntRange(1, _MOST_IMAGES), metavar="N", help="How many images.")
@click.option("--seed", type=_SEED, metavar="N", help="The same images each time.")
@_out_option(metavar="FILE.png", show_default="RUN/generated.png")
def generate(run: RunFolder, n: int, seed: int | None, out: Path | None) -> None:
    """Draw new images from the prior and write them as one sheet, a PNG."""
    target, (image_shape, *_) = _target(out, run.path / "generated.png"), run.read_settings()
    _write_sheet(target, vae.load_model(run.model), n, seed, image_shape)
    click.echo(f"{n:,} new images: {target}")


@main.command(short_help="Write the latent page.")
@_RUN
@_data_option(show_default="the data of RUN", help="As for train.")
@_out_option(metavar="FILE.html", show_default="RUN/latent.html")
def explore(run: RunFolder, data: str | None, out: Path | None) -> None:
    """Write the latent page: one HTML file in which the latent plane can be walked, in any browser.

    It shows the test images of the data. The run must have a latent space of at most 32 dimensions.
    """
    target, (shape, source, options) = _target(out, run.path / "latent.html"), run.read_settings()
    model = vae.load_model(run.model)
    images = _load(data or source, shape[:2], "rgb" if shape[2:] else "grayscale", options["seed"])
    labels = _names_of_labels(images)
    names = images.class_names if labels is not None else None
    vae.explore(model, images.x_test, labels, class_names=names, path=target, image_shape=shape)
    click.echo(f"Latent page: {target}\nOpen it in a browser; it needs no network.")


# Data


def _load(source: str, size: Any, color: str | None, seed: int) -> Any:
    """Return a data set by name, or a folder of images, to which alone size and color apply."""
    if source in _DATA:
        try:
            return vae.load_dataset(source)
        except vae.DatasetUnavailableError as error:
            raise OSError(
                f"MNIST could not be had ({'; '.join(error.tried)}). Set VAE_DATA_DIR to a folder with "
                "mnist.npz, or use --data digits."
            ) from error
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = vae.load_images(source, size or (28, 28), color or "grayscale", seed=seed)
    for warning in caught:
        click.echo(f"Warning: {warning.message}", err=True)
    if not len(data.x_test):
        raise ValueError(f"--data must hold enough images to test on a fifth of each class; got {data}.")
    return data


def _names_of_labels(data: Any) -> Any:
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
        shape = (*image_shape, 1)[:3]
        encoder = vae.build_conv_encoder(shape, latent_dim=latent_dim)
        decoder = vae.build_conv_decoder(latent_dim, image_shape=shape)
    else:
        pixels = math.prod(image_shape)
        encoder = vae.build_encoder(pixels, latent_dim=latent_dim)
        decoder = vae.build_decoder(latent_dim, output_dim=pixels)
    model = vae.VAE(encoder, decoder, beta=options["beta"], reconstruction=options["reconstruction"])
    model.compile()
    return model


def _make_run(run: RunFolder, model: Any, data: Any, options: dict[str, Any]) -> None:
    """Train, and write everything into the folder of the run, its settings last."""
    from vae.explorer.page import MOST_DIMENSIONS

    started, clock, device = datetime.now().astimezone(), time.perf_counter(), vae.describe_device()
    click.echo(device)
    run.figures.mkdir(parents=True, exist_ok=True)
    click.echo("Compiling, which takes some seconds before the first epoch ...")
    history = model.fit(
        data.x_train,
        batch_size=options["batch_size"],
        epochs=options["epochs"],
        validation_data=data.x_test,
        checkpoint=run.path,
    )
    run.write_history(history)
    test_loss = model.evaluate(data.x_test, verbose=0, return_dict=True)
    model.save(run.model)
    _draw(run.figures, model, data, history)
    loss = {name: float(value) for name, value in test_loss.items()}
    seconds = time.perf_counter() - clock
    times = {"started": started.isoformat(timespec="seconds"), "seconds": round(seconds, 1)}
    run.complete(options, data, {"device": device, **times, "test_loss": loss})
    weight, name = "" if options["beta"] == 1 else f"{options['beta']:g} x ", shlex.quote(str(run))
    terms = f"reconstruction {loss['reconstruction_loss']:.2f} + {weight}KL {loss['kl_loss']:.2f}"
    click.echo(f"Test loss {loss['loss']:.2f} nats an image ({terms}), after {seconds:.0f} s.")
    click.echo(f"In {run}: model.keras, history.csv, settings.json and figures/.\nNext: vae generate {name}")
    if options["latent_dim"] <= MOST_DIMENSIONS:
        click.echo(f"      vae explore {name}")


def _draw(folder: Path, model: Any, data: Any, history: Any) -> None:
    """Write loss.png, reconstructions.png, and how new images and the latent space look."""
    import matplotlib

    matplotlib.use("agg")  # files only: no window would be opened
    shape, latent_dim, labels = data.x_test.shape[1:], model.decoder.input_shape[-1], _names_of_labels(data)
    vae.plot_loss(history).savefig(folder / "loss.png")
    vae.plot_reconstructions(model, data.x_test, labels).savefig(folder / "reconstructions.png")
    if latent_dim == 2:
        n = min(30, max(10, _GRID_PIXELS // max(shape[:2])))
        vae.plot_digit_grid(model, n, image_shape=shape).savefig(folder / "digit_grid.png")
    else:
        _write_sheet(folder / "generated.png", model, 100, 0, shape)
    z_mean, _ = model.encode(data.x_test)
    # A plane needs two dimensions; of more, a large beta may press all points into one.
    if latent_dim == 2 or (latent_dim > 2 and (z_mean != z_mean[0]).any()):
        names = data.class_names if labels is not None else None
        vae.plot_latent_space(z_mean, labels, class_names=names, static=True).savefig(
            folder / "latent_space.png"
        )


def _write_sheet(path: Path, model: Any, n: int, seed: int | None, image_shape: tuple[int, ...]) -> None:
    from vae.figures.shared import to_sheet
    from vae.files.atomic import write_whole

    write_whole(path, to_sheet(model.generate(n, seed), image_shape))


if __name__ == "__main__":
    main()
