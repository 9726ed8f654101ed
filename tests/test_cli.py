import csv
import gc
import io
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import vae
from vae import cli
from vae.figures.shared import to_sheet

ROOT = pathlib.Path(__file__).parents[1]
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def call(*args):
    return CliRunner().invoke(cli.main, [str(arg) for arg in args], prog_name="vae")


def succeed(*args):
    result = call(*args)
    assert result.exit_code == 0, result.output
    return result.stdout


def fail(*args):
    """Return the one line on stderr of a command that has to fail."""
    result = call(*args)
    printed = re.sub(r"^Dataset .*\n", "", result.stdout)  # what was found before the mistake was
    assert (result.exit_code, printed) == (2, ""), result.output
    assert re.fullmatch(r"Error: .+\n", result.stderr), result.stderr
    return result.stderr


def environment(home):
    inherited = {name: value for name, value in os.environ.items() if name != "VAE_DATA_DIR"}
    return {**inherited, "HOME": str(home), "PYTHONPATH": str(ROOT)}


def pixels_of(path):
    with Image.open(path) as image:
        return np.asarray(image)


def rows_of(run):
    with open(run / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A real run, as a user would start it, in a folder whose name needs quotes: (process, run)."""
    place, home = tmp_path_factory.mktemp("place"), tmp_path_factory.mktemp("home")
    command = [sys.executable, "-m", "vae", "train", "--data", "digits", "--epochs", "1", "--out", "my run"]
    process = subprocess.run(command, capture_output=True, text=True, cwd=place, env=environment(home))
    return process, place / "my run"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twenty small images of two classes."""
    root, rng = tmp_path_factory.mktemp("data") / "shapes", np.random.default_rng(0)
    for name in ("dark", "light"):
        (root / name).mkdir(parents=True)
        for i in range(10):
            pixels = rng.integers(0, 128, (12, 16, 3)) + 127 * (name == "light")
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def flat(folder):
    """A dense run on images that are not square."""
    run = folder.parent / "flat"
    succeed("train", "--data", folder, "--size", "10x14", "--epochs", 1, "--out", run)
    return run


def test_a_run_ends_well_and_says_what_comes_next(trained):
    process, _ = trained
    assert (process.returncode, process.stderr) == (0, "")
    assert not CONTROL.search(process.stdout)
    assert "Dataset 'digits': 1,437 training and 360 test images" in process.stdout
    assert re.search(r"^epoch 1/1 ", process.stdout, re.MULTILINE)
    assert re.search(r"Test loss \S+ nats an image \(reconstruction \S+ \+ KL \S+\), after", process.stdout)
    assert process.stdout.endswith("Next: vae generate 'my run'\n      vae explore 'my run'\n")


def test_a_run_holds_everything(trained):
    _, run = trained
    files = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    figures = {f"figures/{name}.png" for name in ("loss", "digit_grid", "reconstructions", "latent_space")}
    assert files >= {"model.keras", "history.csv", "settings.json"} | figures
    assert not any(name.endswith(".tmp") for name in files)
    for name in figures:
        assert pixels_of(run / name).std() > 10, f"{name} is blank"
    assert vae.load_model(run / "model.keras").reconstruct(np.zeros((1, 28, 28), "uint8")).shape == (
        1,
        28,
        28,
    )
    assert [row["epoch"] for row in rows_of(run)] == ["0"]


def test_the_settings_say_how_a_run_was_made(trained):
    _, run = trained
    settings = json.loads((run / "settings.json").read_text())
    assert settings["options"] == {
        **{"data": "digits", "out": str(run), "conv": False, "latent_dim": 2, "epochs": 1},
        **{"batch_size": None, "beta": 1.0, "reconstruction": "mse", "size": None, "color": None, "seed": 0},
    }
    assert settings["data"] == {
        **{"name": "digits", "source": "digits", "training_images": 1437, "test_images": 360},
        **{"image_shape": [28, 28], "class_names": []},
    }
    assert settings["versions"].keys() == {"python", "vae", "keras", "numpy", settings["backend"]}
    assert all(re.match(r"\d+\.\d+", version) for version in settings["versions"].values())
    assert "computes on the" in settings["device"]
    loss = settings["test_loss"]
    assert loss["loss"] == pytest.approx(loss["reconstruction_loss"] + loss["kl_loss"], rel=1e-4)
    # Another draw of the noise, and so not the same number.
    assert loss["loss"] == pytest.approx(float(rows_of(run)[-1]["val_loss"]), rel=0.02)
    assert settings["seconds"] > 0
    assert settings["started"].startswith("20")


def test_one_seed_gives_one_history(trained, flat, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("vae.cli._draw", lambda *args: None)  # they take longer than the training
    _, run = trained
    succeed("train", "--data", "digits", "--epochs", 1, "--seed", 0, "--out", tmp_path / "0")
    assert (tmp_path / "0" / "history.csv").read_bytes() == (run / "history.csv").read_bytes()
    succeed("train", "--data", folder, "--size", "10x14", "--epochs", 1, "--seed", 1, "--out", tmp_path / "1")
    assert (tmp_path / "1" / "history.csv").read_bytes() != (flat / "history.csv").read_bytes()


def test_generate_writes_one_sheet(trained, tmp_path):
    _, run = trained
    out = succeed("generate", run)
    assert out == f"100 new images: {run / 'generated.png'}\n"
    height, width = pixels_of(run / "generated.png").shape
    assert width == height
    assert 800 < width < 1000

    sheets = [tmp_path / "new" / f"{i}.png" for i in range(3)]
    for sheet, seed in zip(sheets, (5, 5, 6), strict=True):
        succeed("generate", run, "-n", 7, "--seed", seed, "--out", sheet)
    first, second, third = (sheet.read_bytes() for sheet in sheets)
    assert first == second != third
    # Seven squares in three columns leave the last two places white.
    pixels = pixels_of(sheets[0])
    assert (pixels[-pixels.shape[0] // 4 :, pixels.shape[1] // 2 :] == 255).all()
    assert pixels[: pixels.shape[0] // 4].min() < 200


def test_images_on_a_sheet_are_pixel_for_pixel_what_was_generated():
    images = np.random.default_rng(0).random((3, 2 * 3 * 3))
    sheet = to_sheet(images, (2, 3, 3))
    pixels = pixels_of(io.BytesIO(sheet))
    factor = pixels.shape[1] // 9  # two columns of 3 pixels, three gaps of 1: 9 wide, 7 high
    assert pixels.shape == (7 * factor, 9 * factor, 3)
    small = pixels[::factor, ::factor]
    assert (small[1:3, 5:8] == np.rint(255 * images[1].reshape(2, 3, 3))).all()
    assert (small[4:6, 1:4] == np.rint(255 * images[2].reshape(2, 3, 3))).all()
    assert (small[3] == 255).all()


def test_explore_writes_the_page_where_it_is_told(trained, tmp_path):
    _, run = trained
    page = tmp_path / "new" / "page.html"
    assert f"Latent page: {page}\n" in succeed("explore", run, "--data", "digits", "--out", page)
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert not (run / "latent.html").exists()


def test_a_folder_of_images_that_are_not_square(flat, folder):
    settings = json.loads((flat / "settings.json").read_text())
    assert settings["data"]["source"] == str(folder)
    assert settings["data"]["image_shape"] == [10, 14]
    assert settings["data"]["class_names"] == ["dark", "light"]
    succeed("explore", flat)
    assert "light" in (flat / "latent.html").read_text(encoding="utf-8")
    succeed("generate", flat)
    height, width = pixels_of(flat / "generated.png").shape
    assert width == pytest.approx(height, rel=0.25)


def test_convolutional_networks_color_and_three_dimensions(folder, tmp_path):
    run = tmp_path / "run"
    options = ["--conv", "--latent-dim", 3, "--beta", 0.5, "--reconstruction", "bernoulli", "--batch-size", 8]
    out = succeed(
        "train", "--data", folder, "--size", "9x12", "--color", "rgb", "--epochs", 2, *options, "--out", run
    )
    assert re.search(r"reconstruction \S+ \+ 0.5 x KL", out)
    assert out.endswith(f"Next: vae generate {run}\n      vae explore {run}\n")
    model = vae.load_model(run / "model.keras")
    assert (model.encoder.input_shape, model.beta, model.reconstruction) == (
        (None, 9, 12, 3),
        0.5,
        "bernoulli",
    )
    assert any("Conv" in layer.name for layer in model.encoder.layers)
    names = {path.name for path in (run / "figures").iterdir()}
    assert names == {"loss.png", "reconstructions.png", "generated.png", "latent_space.png"}
    assert pixels_of(run / "figures" / "generated.png").shape[2:] == (3,)
    assert len(rows_of(run)) == 2
    succeed("explore", run)
    assert (run / "latent.html").stat().st_size > 10_000


def test_a_run_of_too_many_dimensions_cannot_be_explored(tmp_path):
    run = tmp_path / "run"
    out = succeed(*TRAIN, "--latent-dim", 33, "--out", run)
    assert "vae explore" not in out
    assert "at most 32 latent dimensions" in fail("explore", run)


def test_skipped_files_are_a_warning_without_a_traceback(folder, tmp_path):
    for i in range(5):
        Image.new("L", (8, 8), 50 * i).save(tmp_path / f"{i}.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    result = call(
        "train",
        "--data",
        tmp_path,
        "--size",
        "8x8",
        "--epochs",
        1,
        "--latent-dim",
        1,
        "--out",
        tmp_path / "run",
    )
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith("Warning: 1 skipped")
    assert "cli.py" not in result.stderr
    names = {path.name for path in (tmp_path / "run" / "figures").iterdir()}
    assert names == {"loss.png", "reconstructions.png", "generated.png"}  # one dimension makes no plane


TRAIN = ("train", "--data", "digits", "--epochs", "1", "--out", "RUN")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("nonsense",), "No such command 'nonsense'"),
        (("train", "--out", "RUN"), "--data must be given: mnist, digits, auto, or a folder"),
        (("train", "--data", "digits"), "Missing option '--out'"),
        (("--nonsense",), "No such option"),
        ((*TRAIN, "--nonsense"), "No such option"),
        ((*TRAIN, "--data", "fashion"), "--data must be mnist, digits, auto or a folder; there is no folder"),
        ((*TRAIN, "--data", "empty"), "folder must hold images that can be read"),
        ((*TRAIN, "--data", "one"), "--data must hold enough images to test on a fifth"),
        ((*TRAIN, "--out", "full"), "--out must be a new or empty folder; full has something in it"),
        ((*TRAIN, "--out", "file.txt"), "--out must be a new or empty folder; file.txt is a file"),
        ((*TRAIN, "--out", "file.txt/run"), "--out must be a folder that can be made; "),
        ((*TRAIN, "--epochs", "0"), "'--epochs': 0 is not in the range"),
        ((*TRAIN, "--epochs", "x"), "'x' is not a valid integer"),
        ((*TRAIN, "--latent-dim", "0"), "'--latent-dim'"),
        ((*TRAIN, "--batch-size", "-1"), "'--batch-size'"),
        ((*TRAIN, "--beta", "-1"), "--beta must be a finite number, 0 or more; got -1.0"),
        ((*TRAIN, "--beta", "nan"), "--beta must be a finite number, 0 or more; got nan"),
        ((*TRAIN, "--seed", "-1"), "'--seed'"),
        ((*TRAIN, "--reconstruction", "l1"), "'l1' is not one of 'mse', 'bernoulli'"),
        ((*TRAIN, "--data", "one", "--size", "28"), "'28' is not HEIGHTxWIDTH"),
        ((*TRAIN, "--data", "one", "--size", "0x28"), "'0x28' is not HEIGHTxWIDTH"),
        ((*TRAIN, "--size", "28x28"), "--size and --color are for folders of images; digits has its own"),
        ((*TRAIN, "--color", "rgb"), "--size and --color are for folders of images"),
        (("generate", "RUN"), "Directory 'RUN' does not exist"),
        (("generate", "full"), "RUN must be a complete run of vae train; full has no settings.json"),
        (("generate", "full", "-n", "0"), "'-n': 0 is not in the range"),
        (("generate", "full", "--out", "a.jpg"), "--out must end in .png; got 'a.jpg'"),
        (("explore", "full", "--out", "a.png"), "--out must end in .html; got 'a.png'"),
        (("explore", "full"), "RUN must be a complete run"),
    ],
)
def test_mistakes_are_one_line(args, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "one", "full"):
        pathlib.Path(name).mkdir()
    Image.new("L", (8, 8)).save("one/1.png")
    pathlib.Path("full/notes.txt").write_text("mine")
    pathlib.Path("file.txt").write_text("mine")
    assert message in fail(*args)
    assert not pathlib.Path("RUN").exists()
    assert os.listdir("full") == ["notes.txt"]


def test_mnist_that_cannot_be_had_is_one_line(tmp_path, monkeypatch):
    def no_network():
        raise OSError("no network")

    monkeypatch.setattr("vae.data.mnist._download", no_network)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("VAE_DATA_DIR", raising=False)
    message = fail("train", "--data", "mnist", "--out", tmp_path / "run")
    assert "MNIST could not be had (VAE_DATA_DIR: not set; " in message
    assert "download: no network). Set VAE_DATA_DIR" in message


def test_damaged_runs_are_one_line(flat, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    settings = (flat / "settings.json").read_text()
    for text in ("", "[]", "{}", settings.replace("[\n      10,\n      14\n    ]", "[10]"), "\xff"):
        (run / "settings.json").write_text(text, encoding="latin-1")
        for command in (["generate", run], ["train", "--data", "digits", "--out", run, "--resume"]):
            assert "settings.json is damaged" in fail(*command)
    (run / "settings.json").write_text(settings)
    assert "there is none at" in fail("generate", run)
    model = bytearray((flat / "model.keras").read_bytes())
    for damaged in (b"", model[: len(model) // 2], model[:2000] + bytes(3000) + model[5000:]):
        (run / "model.keras").write_bytes(damaged)
        assert "path must " in fail("generate", run)
    assert sorted(os.listdir(run)) == ["model.keras", "settings.json"]


def test_a_diverging_run_is_one_line_and_not_complete(folder, tmp_path):
    run = tmp_path / "run"
    options = ["--size", "8x8", "--epochs", 1, "--beta", 1e39]
    result = call("train", "--data", folder, *options, "--out", run)
    assert result.exit_code == 2
    assert re.fullmatch(r"Error: Training stopped in epoch 1: .+\n", result.stderr)
    assert not (run / "settings.json").exists()
    del result
    gc.collect()


def test_ctrl_c_is_one_line(tmp_path):
    # Thirty epochs: more than 1,500 steps would first be compiled for some seconds.
    # Shells start background jobs with SIGINT ignored, and children inherit that.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from vae.cli import main; main(prog_name='vae')"
    )
    command = [sys.executable, "-c", code, "train", "--data", "digits", "--epochs", "30", "--out", "run"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, env=environment(tmp_path), **pipes) as process:
        for line in process.stdout:
            if line.startswith("epoch "):
                break
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert errors == "Interrupted. To go on: vae train --out run --resume\n"
    assert "has no settings.json" in fail("generate", tmp_path / "run")
    again = ["--data", "digits", "--epochs", 30, "--out", tmp_path / "run"]
    assert "with --resume, an unfinished run goes on" in fail("train", *again)
    run = ["train", "--out", tmp_path / "run", "--resume"]
    assert "--epochs must be as in the run" in fail(*run, "--epochs", 31)
    assert "--data must be as in the run" in fail(*run, "--data", "mnist")
    options = tmp_path / "run" / "options.json"
    kept = options.read_text()
    options.write_text("{")
    assert "options.json is damaged" in fail(*run)
    options.unlink()  # as version 0.1.0 left a run
    assert "--data must be given, and all other options as before" in fail(*run)
    result = call(*run, "--data", "digits", "--epochs", 31)
    assert "epochs: 30 in the checkpoint, 31 now" in result.stderr
    assert not options.exists()  # the checkpoint refused them: to keep them would bar the right ones
    options.write_text(kept)
    assert "Compiling" in succeed(*run)
    assert len(rows_of(tmp_path / "run")) == 30
    assert sorted(os.listdir(tmp_path / "run")) == ["figures", "history.csv", "model.keras", "settings.json"]
    again_finished = succeed(*run)
    assert "nothing is left to do" in again_finished
    assert "Compiling" not in again_finished
    assert "nothing is left to do" in succeed("train", *again, "--resume")
    assert "--beta must be as in the run" in fail("train", *again, "--resume", "--beta", 2)


def test_ctrl_c_in_an_old_run_does_not_name_a_command_that_would_not_do(tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_make_run", interrupt)
    (tmp_path / "checkpoint.npz").touch()  # as version 0.1.0 left a run: without its options
    result = call("train", "--data", "digits", "--out", tmp_path, "--resume")
    assert (result.exit_code, result.stderr) == (130, "Interrupted. To go on: the same command\n")


@pytest.mark.parametrize("command", [[], ["train"], ["generate"], ["explore"]], ids=str)
def test_help_comes_at_once_and_loads_nothing_heavy(command):
    heavy = ("keras", "tensorflow", "matplotlib", "plotly", "numpy")
    code = (
        "import sys; from vae.cli import main\n"
        "try: main(prog_name='vae')\n"
        f"finally: print([name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    )
    start = time.perf_counter()
    process = subprocess.run(
        [sys.executable, "-c", code, *command, "--help"],
        **{"capture_output": True, "text": True, "cwd": ROOT},
    )
    assert time.perf_counter() - start < 2
    assert (process.returncode, process.stderr) == (0, "[]\n")
    assert process.stdout.startswith(f"Usage: vae {' '.join(command)}".rstrip())


def test_the_command_alone_shows_its_help_and_its_version():
    assert succeed() == succeed("--help")
    assert succeed("--version") == f"vae {vae.__version__}\n"
    for name in ("vae", "vae.cli"):
        process = subprocess.run(
            [sys.executable, "-m", name, "--version"], capture_output=True, text=True, cwd=ROOT
        )
        assert (process.returncode, process.stdout) == (0, f"vae {vae.__version__}\n"), process.stderr
