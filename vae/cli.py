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
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import click

import vae
from vae._terminal import on_terminal
from vae.runs.run_folder import RunFolder

_DATA = ("mnist", "digits", "auto")
_MISTAKES = (ValueError, TypeError, OSError, FloatingPointError, ImportError, MemoryError)
_INTERRUPTED = 130  # what a shell reports after Ctrl-C
_HELP = {"max_content_width": 100, "show_default": True}  # columns, where the terminal has as many
_MOST_IMAGES = 10_000


class _Commands(click.Group):
    """The commands, with click's own errors and the package's brought into one line."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["standalone_mode"] = False  # click would print its errors in three lines
        try:
            status = super().main(*args, **kwargs)
        except click.ClickException as error:
            click.echo(f"Error: {' '.join(error.format_message().split())}", err=True)
            status = 2
        sys.exit(status)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            end = "\n" if on_terminal() else ""  # Keras's bar has left its line open
            click.echo(f"{end}Interrupted. {stop}".rstrip(), err=True)
            ctx.exit(_INTERRUPTED)
        except BrokenPipeError:  # the reader of the output went away; click knows what to do
            raise
        except _MISTAKES as error:
            reason = str(error) or type(error).__name__
            if isinstance(error, OSError) and error.strerror and error.filename:
                reason = f"{error.strerror}: {error.filename}"  # without "[Errno 13]"
            raise click.ClickException(reason) from error


class _Size(click.ParamType):
    """HEIGHTxWIDTH, such as 28x28."""

    name = "HxW"

    def convert(self, value: Any, param: Any, ctx: Any) -> list[int]:
        """Return [height, width]: a list, as in the settings of a run, which are JSON."""
        match = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})", str(value))
        if match is None:
            self.fail(f"{value!r} is not HEIGHTxWIDTH in pixels, such as 28x28.", param, ctx)
        return [int(match[1]), int(match[2])]


def _check_data(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Return the name of a data set, or the absolute path of a folder, for which the settings keep it."""
    if value is None or value in _DATA:
        return value
    folder = os.path.abspath(os.path.expanduser(value))
    if not os.path.isdir(folder):
        raise ValueError(f"--data must be {', '.join(_DATA)} or a folder; there is no folder {value!r}.")
    return folder


def _out_file(default: str) -> Callable[[Any], Any]:
    """Return an option --out for a file, whose name must end as the default's."""
    suffix = Path(default).suffix

    def check(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
        if value is not None and value.suffix.lower() != suffix:
            raise ValueError(f"--out must end in {suffix}; got {str(value)!r}.")
        return value

    path = click.Path(dir_okay=False, path_type=Path)
    return click.option("--out", type=path, callback=check, metavar=f"FILE{suffix}", show_default=default)


_data_option = partial(click.option, "--data", callback=_check_data, metavar="DATA")
_COUNT, _LATENT_DIM, _SEED = click.IntRange(1), click.IntRange(1, 1024), click.IntRange(0, 2**32 - 1)
_LOSSES, _COLORS = click.Choice(["mse", "bernoulli"]), click.Choice(["grayscale", "rgb"])
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
@_data_option(required=True, help="mnist, digits, auto, or a folder of images.")
@click.option("--out", required=True, type=_NEW_RUN, metavar="RUN", help="Folder to make; new or empty.")
@click.option("--conv", is_flag=True, help="Convolutional networks instead of dense ones.")
@click.option("--latent-dim", default=2, type=_LATENT_DIM, metavar="N", help="Size of the latent space.")
@click.option("--epochs", default=25, type=_COUNT, metavar="N", help="Passes over the data.")
@click.option("--batch-size", type=_COUNT, metavar="N", show_default="32", help="Images a step.")
@click.option("--beta", default=1.0, metavar="X", help="Weight of the KL term.")
@click.option("--reconstruction", default="mse", type=_LOSSES, help="The other term.")
@click.option(
    "--size", type=_Size(), metavar="HxW", show_default="28x28", help="Pixels of a folder's images."
)
@click.option("--color", type=_COLORS, show_default="grayscale", help="Of a folder's images.")
@click.option("--seed", default=0, type=_SEED, metavar="N", help="One seed, one result.")
@click.option("--resume", is_flag=True, help="Go on with a run that was cut off.")
def train(out: RunFolder, resume: bool, **options: Any) -> None:
    """Train a model and write it, its losses and its pictures into the folder RUN.

    RUN gets model.keras, history.csv (a row an epoch), figures/ and, last, settings.json: a run that
    has it is complete. Until then it has checkpoint.npz, from which the same command with --resume goes
    on, with the result that it would have had. A folder of images may have a subfolder for each class;
    where it is named like a data set, write ./mnist.
    """
    from vae._checks import check_non_negative

    check_non_negative("--beta", options["beta"])
    out.check_free(resume)
    if out.settings.exists():
        out.check_same(options)
        click.echo(f"{out} is complete; nothing is left to do.")
        return
    named = options["data"] in _DATA
    if named and (options["size"] or options["color"]):
        raise ValueError(f"--size and --color are for folders of images; {options['data']} has its own.")
    data = _load(options["data"], options["size"], options["color"], options["seed"])
    model = _build(data.x_train.shape[1:], options)
    if named:
        options["data"] = data.name  # "auto" has become one of the two
    try:
        _make_run(out, model, data, {"out": os.path.abspath(out.path), **options})
    except KeyboardInterrupt:
        hint = f"{out} holds no complete run and may be deleted."
        if out.checkpoint.exists():
            hint = "The same command with --resume goes on."
        raise KeyboardInterrupt(hint) from None


@main.command(short_help="Write a sheet of new images.")
@_RUN
@click.option("-n", default=100, type=click.IntRange(1, _MOST_IMAGES), metavar="N", help="How many images.")
@click.option("--seed", type=_SEED, metavar="N", help="The same images each time.")
@_out_file("RUN/generated.png")
def generate(run: RunFolder, n: int, seed: int | None, out: Path | None) -> None:
    """Draw new images from the prior and write them as one sheet, a PNG."""
    from vae.figures.mosaic import to_sheet
    from vae.files.atomic import write_whole

    out, settings = out or run.path / "generated.png", run.read_settings()
    model = vae.load_model(run.model)
    write_whole(out, to_sheet(model.generate(n, seed), settings.image_shape))
    click.echo(f"{n:,} new images: {out}")


@main.command(short_help="Write the latent page.")
@_RUN
@_data_option(show_default="the data of RUN", help="As for train.")
@_out_file("RUN/latent.html")
def explore(run: RunFolder, data: str | None, out: Path | None) -> None:
    """Write the latent page: one HTML file in which the latent plane can be walked, in any browser.

    It shows the test images of the data. The run must have a latent space of 2 dimensions.
    """
    from vae.figures.labels import names_of_labels

    out, settings = out or run.path / "latent.html", run.read_settings()
    if settings.latent_dim != 2:
        raise ValueError(f"RUN must have --latent-dim 2 to be explored; {run} has {settings.latent_dim}.")
    model, shape = vae.load_model(run.model), settings.image_shape
    images = _load(data or settings.source, shape[:2], "rgb" if shape[2:] else "grayscale", settings.seed)
    vae.explore(model, images.x_test, names_of_labels(images), path=out, image_shape=shape)
    click.echo(f"Latent page: {out}\nOpen it in a browser; it needs no network.")


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
    click.echo(f"{data}; from {source}.")
    return data


# Training


def _build(image_shape: tuple[int, ...], options: dict[str, Any]) -> Any:
    from vae._keras import keras

    keras.utils.set_random_seed(options["seed"])
    latent_dim = options["latent_dim"]
    if options["conv"]:
        shape = image_shape if len(image_shape) == 3 else (*image_shape, 1)
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
    from vae.figures.run import draw_run

    started, clock, device = datetime.now().astimezone(), time.perf_counter(), vae.describe_device()
    click.echo(device)
    run.figures.mkdir(parents=True, exist_ok=True)
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
    draw_run(run.figures, model, data, history)
    facts = {
        "device": device,
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - clock, 1),
        "test_loss": {name: float(value) for name, value in test_loss.items()},
    }
    run.complete(options, data, facts)
    click.echo(_summary(run, options, facts))


def _summary(run: RunFolder, options: dict[str, Any], facts: dict[str, Any]) -> str:
    """Say how the run ended, and what can be done with it."""
    loss, weight = facts["test_loss"], "" if options["beta"] == 1 else f"{options['beta']:g} x "
    terms = f"reconstruction {loss['reconstruction_loss']:.2f} + {weight}KL {loss['kl_loss']:.2f}"
    name = shlex.quote(str(run))
    commands = [f"vae generate {name}"] + [f"vae explore {name}"] * (options["latent_dim"] == 2)
    what_next = "\n      ".join(commands)
    return (
        f"Test loss {loss['loss']:.2f} nats an image ({terms}), after {facts['seconds']:.0f} s.\n"
        f"In {run}: model.keras, history.csv, settings.json and figures/.\n"
        f"Next: {what_next}"
    )


if __name__ == "__main__":
    main()
