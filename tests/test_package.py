import ast
import doctest
import importlib
import inspect
import os
import pathlib
import subprocess
import sys

import pytest

import vae

ROOT = pathlib.Path(__file__).parents[1]
HEAVY = ("tensorflow", "keras", "jax", "torch", "matplotlib", "plotly", "sklearn", "numpy")
# The order of the house: a module imports only from those before it (see README, "How it is built").
ORDER = [
    *(
        "_keras",
        "_checks",
        "_terminal",
        "files",
        "data",
        "layers",
        "losses",
        "builders",
    ),
    *(
        "backends",
        "callbacks",
        "runs",
        "training",
        "model",
        "latent",
        "evaluation",
        "figures",
        "explorer",
        "cli",
        "__main__",
    ),
]


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


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vae."):
            yield node.module.split(".")[1]


@pytest.mark.parametrize("path", sorted((ROOT / "vae").rglob("*.py")), ids=lambda path: path.stem)
def test_data_flows_one_way(path):
    module = path.relative_to(ROOT / "vae").parts[0].removesuffix(".py")
    if module == "__init__":
        return
    for imported in imports_of(path):
        assert ORDER.index(imported) <= ORDER.index(module), f"{module} imports {imported}"


def test_only_three_modules_know_a_backend():
    for path in (ROOT / "vae").rglob("*.py"):
        if path.stem in ("backends", "runs", "training"):
            continue
        names = {
            alias.name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        assert not names & {"tensorflow", "jax", "torch"}, path


def test_the_version_is_the_distributions():
    metadata = importlib.import_module("importlib.metadata")
    try:
        installed = metadata.version("vae")
    except metadata.PackageNotFoundError:
        pytest.skip("vae is not installed, only importable")
    assert installed == vae.__version__
