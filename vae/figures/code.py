"""The code of the package, shown where it is told about: as it runs, without its docstring."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Code:
    """Lines of Python; as the last line of a notebook cell they show themselves, highlighted."""

    text: str

    def __repr__(self) -> str:
        """Return the lines as they are."""
        return self.text

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        # No HTML: that of IPython's `Code` brings a style sheet, which GitHub strips.
        return {"text/markdown": f"```python\n{self.text}\n```", "text/plain": self.text}


def show_code(*functions: Callable[..., Any]) -> Code:
    """Show the code of functions as it runs, without docstrings.

    A function stands under the name of its file, and is followed by those of its own module that it calls.
    It is the source that Python has loaded: what trains, and no copy of it.

    Args:
        *functions: Functions, methods or classes that are written in Python.

    Returns:
        A `Code`, which shows itself in a notebook, and prints as its text.

    Raises:
        TypeError: Something that has no source in Python; or nothing was given.

    Example:
        >>> import vae
        >>> print(vae.show_code(vae.losses.weighted_sum))
        # vae/losses.py
        def weighted_sum(terms: Mapping[str, Tensor], weights: Mapping[str, Any]) -> Tensor:
            return sum(ops.cast(weights.get(name, 1.0), term.dtype) * term for name, term in terms.items())
    """
    if not functions:
        raise TypeError("show_code must be given one function or more; got none.")
    sources = {each: _source(each) for function in functions for each in _with_helpers(function)}
    places = [_place(each) for each in sources]
    blocks = [
        source if place == before else f"# {place}\n{source}"
        for source, place, before in zip(sources.values(), places, [None, *places], strict=False)
    ]
    return Code("\n\n\n".join(blocks))


def _place(function: Any) -> str:
    """Return the file in which a function stands, and of a method the class."""
    file = function.__module__.replace(".", "/") + ".py"
    owner = function.__qualname__.rpartition(".")[0]
    return f"{file}, in class {owner}" if owner and "<locals>" not in owner else file


def _with_helpers(function: Any) -> Iterator[Any]:
    """Give a function, and then those of its module that it calls, and so on."""
    yield function
    code = getattr(inspect.unwrap(function), "__code__", None)
    for name in code.co_names if code else ():
        helper = inspect.unwrap(function).__globals__.get(name)
        if inspect.isfunction(helper) and helper.__module__ == function.__module__:
            yield from _with_helpers(helper)


def _source(function: Any) -> str:
    """Return the source of a function or class, without docstrings."""
    try:
        text = textwrap.dedent(inspect.getsource(function)).rstrip()
    except (TypeError, OSError) as error:  # Python's own, or typed into a prompt
        raise TypeError(f"show_code must be given what is written in Python; got {function!r}.") from error
    lines = text.splitlines()
    for node in reversed(list(ast.walk(ast.parse(text)))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            first, last = node.body[0].lineno - 1, node.body[0].end_lineno or 0
            del lines[first : last + (lines[last : last + 1] == [""])]
    return "\n".join(lines)
