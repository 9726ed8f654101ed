"""Keras is told of this package's classes, so that its own loader finds them after a mere `import vae`.

The classes can be registered only once Keras is there, and `import vae` does not load it. So the import of
Keras, by whomever, is followed by that of `vae.model`, which registers them all. Where it is a module of this
package that imports Keras, that waits until the module is whole.
"""

import contextlib
import importlib
import sys
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from typing import Any

_MODULE = "vae.model"


class _Follow:
    """A finder that finds what Python's own does, and does something behind it."""

    def __init__(self) -> None:
        self.depth = 0  # of imports within imports

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return the spec of Keras or of a module of this package; None for others."""
        if name != "keras" and not name.startswith("vae."):
            return None
        spec = PathFinder.find_spec(name, path, target)
        loader = spec.loader if spec else None
        if isinstance(loader, SourceFileLoader):
            execute = loader.exec_module

            def execute_and_register(module: Any) -> None:
                self.depth += 1
                try:
                    execute(module)
                finally:
                    self.depth -= 1
                self.register()

            loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec

    def register(self) -> None:
        """Import what registers, if Keras is there and no import is under way; never raise."""
        if self.depth == 0 and _MODULE not in sys.modules and hasattr(sys.modules.get("keras"), "saving"):
            with contextlib.suppress(Exception):  # `import keras` must not fail for this package's sake
                importlib.import_module(_MODULE)


def register_when_keras_is_there() -> None:
    """Register the classes now, or as soon as Keras is imported."""
    follow = _Follow()
    sys.meta_path.insert(0, follow)
    follow.register()
