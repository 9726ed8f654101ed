import ast
import doctest
import importlib
import inspect
import os
import pathlib
import re
import subprocess
import sys

import pytest

import vae

ROOT = pathlib.Path(__file__).parents[1]
HEAVY = ("tensorflow", "keras", "jax", "torch", "matplotlib", "plotly", "sklearn", "numpy")
# The order of the house, from the ground up: a module imports only from its own line and those above it. (The
# lesson is read in another order: layers, losses, builders, model. But `build_autoencoder` returns a model.)
ORDER = """
_registration _keras _checks _tensors _terminal
layers losses
files files.atomic
backends
data
callbacks training.chunks training.recipe training.seeds training.inference training.inputs training.terms
training.streams
runs.distribution runs.checkpoint
training
model
builders files.* latent evaluation
figures
explorer
runs.run_folder cli __main__
"""
LESSON = ("layers", "losses", "builders", "model")


def test_import_loads_nothing_heavy():
    code = f"import sys, vae; print([name for name in {HEAVY!r} if name in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert result.stdout.strip() == "[]"


def test_the_start_is_silent():
    code = "import vae; vae.build_encoder(); vae.describe_device()"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert (result.stdout, result.stderr) == ("", "")


def test_every_public_name_is_there():
    for name in vae.__all__:
        assert getattr(vae, name) is not None
    assert isinstance(vae.__version__, str)


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no_such_name"):
        vae.no_such_name  # noqa: B018


def public_objects():
    for name in sorted(vae.__all__):
        yield name, getattr(vae, name)
    for name in ("encode", "decode", "reconstruct", "generate", "losses_per_image"):
        yield f"VAE.{name}", getattr(vae.VAE, name)
    for name in ("encode", "decode", "reconstruct"):
        yield f"Autoencoder.{name}", getattr(vae.Autoencoder, name)


@pytest.mark.parametrize(
    ("name", "thing"), list(public_objects()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_public_docstrings_say_what_is_needed_and_their_examples_run(name, thing):
    doc = inspect.getdoc(thing)
    assert doc, f"{name} has no docstring"
    if inspect.ismodule(thing) or (inspect.isclass(thing) and issubclass(thing, Exception)):
        return
    assert "Example" in doc, f"{name} has no example"
    parameters = [
        parameter
        for parameter in inspect.signature(thing).parameters.values()
        if parameter.name != "self" and parameter.kind is not parameter.VAR_POSITIONAL
    ]
    for parameter in parameters:
        assert f"{parameter.name}:" in doc, f"{name} does not describe {parameter.name}"
    if name == "load_mnist" and not os.environ.get("VAE_DATA_DIR"):
        pytest.skip("VAE_DATA_DIR is not set: this example needs the MNIST files")
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    for example in doctest.DocTestFinder(recurse=False).find(thing, name, globs={}):
        runner.run(example)
    assert runner.failures == 0


MODULES = sorted((ROOT / "vae").rglob("*.py"))


def name_of(path):
    parts = path.relative_to(ROOT / "vae").with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports_of(path):
    """Yield the modules of this package that a module imports, at its top or inside functions."""
    names = {name_of(module) for module in MODULES}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "vae":
            base = node.module.partition(".")[2]
            for alias in node.names:
                full = f"{base}.{alias.name}".lstrip(".")
                yield full if full in names else base


def floor_of(name):
    """Return the line of ORDER on which a module stands, by the longest entry that its name begins with."""
    floors = {entry: i for i, line in enumerate(ORDER.strip().splitlines()) for entry in line.split()}
    while name not in floors and f"{name.rpartition('.')[0]}.*" not in floors:
        assert "." in name, f"{name} has no place in ORDER"
        name = name.rpartition(".")[0]
    return floors.get(name, floors.get(f"{name.rpartition('.')[0]}.*"))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_one_way(path):
    name = name_of(path)
    for imported in imports_of(path):
        if name and imported:  # the package's own face is loaded by name
            assert floor_of(imported) <= floor_of(name), f"{name} imports {imported}"


def test_the_lesson_imports_nothing_of_the_works_but_the_model_of_images_and_checks():
    allowed = {*LESSON, "_checks", "_keras", "_tensors", "data", "training.image_model", "training.inputs"}
    for name in LESSON:
        assert set(imports_of(ROOT / "vae" / f"{name}.py")) <= allowed


def test_the_lesson_is_short():
    lines = {name: len((ROOT / "vae" / f"{name}.py").read_text().splitlines()) for name in LESSON}
    assert sum(lines.values()) <= 900
    assert lines["model"] <= 350


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_names_of_other_modules_are_public_ones(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vae"):
            private = [alias.name for alias in node.names if re.match("_[a-z]", alias.name)]
            assert not [name for name in private if not (ROOT / "vae" / f"{name}.py").exists()]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_private_parts_of_keras_are_used_in_one_module(path):
    if path.stem != "_keras":
        text = path.read_text(encoding="utf-8")
        assert "keras.src" not in text
        assert not re.search(r"\._(keras_history|inbound_nodes|flatten_layers|distribute_strategy)\b", text)


@pytest.mark.parametrize("module", ["model", "data", "data.mnist", "training.image_model"])
def test_training_waits_for_no_library_that_it_does_not_need(module):
    without = ("PIL", "sklearn", "matplotlib", "plotly", "click")
    code = f"import sys; sys.modules.update(dict.fromkeys({without!r})); import vae.{module}"
    subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)


def test_the_version_is_the_distributions():
    metadata = importlib.import_module("importlib.metadata")
    try:
        installed = metadata.version("vae")
    except metadata.PackageNotFoundError:
        pytest.skip("vae is not installed, only importable")
    assert installed == vae.__version__


def public_callables():
    """Yield each name of `vae` that can be called, and each public method that is the package's own."""
    for name in sorted(vae.__all__):
        thing = getattr(vae, name)
        if inspect.isclass(thing) and issubclass(thing, Exception):
            continue
        if callable(thing):
            yield name, thing
        for method, function in inspect.getmembers(thing, callable) if inspect.isclass(thing) else ():
            if not method.startswith("_") and function.__module__.startswith("vae."):
                yield f"{name}.{method}", function


CALLABLES = dict(public_callables())


def test_the_methods_of_the_models_are_among_the_callables():
    for method in ("compile", "fit", "evaluate", "predict", "encode", "decode", "reconstruct"):
        assert {f"VAE.{method}", f"Autoencoder.{method}"} <= CALLABLES.keys()


@pytest.mark.parametrize("name", CALLABLES)
def test_signatures_print_short(name):
    """A reader of `help` meets the arguments, and of NumPy's types only the array."""
    signature = str(inspect.signature(CALLABLES[name]))
    assert not re.search(
        r"numpy\.(?!ndarray\b(?!\[))|NDArray|ArrayLike|_NestedSequence|_Supports|~", signature
    )
