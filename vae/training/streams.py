"""What yields batches: looked at as they pass, so that each is read once and none is left out."""

import contextlib
import copy
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import numpy as np

from vae._checks import check_images
from vae._keras import keras
from vae.data import Dataset
from vae.training.chunks import yields_chunks
from vae.training.inputs import NO_TARGETS, Shape, check_array, check_no_weights, check_shape, check_targets


class Watch:
    """Looks at what one call is given: arrays at once, batches as they pass.

    To be entered around what reads them. An error that was found in a batch, or that their source
    raised, comes out at the end as it is; TensorFlow would hand it on as a page of its own.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape  # of the encoder's input
        self.problem: Exception | None = None

    def __enter__(self) -> "Watch":  # noqa: D105
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, place: TracebackType | None) -> None:
        """Raise what was found in a batch."""
        if self.problem is not None:
            raise self.problem from None

    def check(self, name: str, x: Any, y: Any = None) -> Any:
        """Return an array of images in the encoder's shape, or what yields batches, watched."""
        if hasattr(x, "__array__") or isinstance(x, list | tuple):
            return check_array(name, x, y, self.shape)
        check_targets(name, x, y)
        if isinstance(x, Dataset):
            raise TypeError(f"{name} must be images; got a vae.Dataset: pass its x_train or x_test.")
        if not yields_chunks(x) and not _yields_batches(x):
            raise TypeError(f"{name} must be images, or yield batches of them; got {type(x).__name__}.")
        return x if yields_chunks(x) else _watched(x, _Look(self, name))

    def check_validation(self, data: Any) -> Any:
        """Return `validation_data`, which is x or (x, x), likewise."""
        if not isinstance(data, tuple | list):
            return self.check("validation_data", data)
        if len(data) not in (1, 2):
            raise ValueError(f"validation_data must be x or (x, x); got {len(data)} parts. {NO_TARGETS}")
        return self.check("validation_data", *data)


class _Look:
    """Checks batches: of the first, the values too."""

    def __init__(self, watch: Watch, name: str) -> None:
        self.watch, self.name, self.looked = watch, name, False

    def at_kind(self, shape: tuple[int | None, ...], dtype: Any) -> None:
        """Check a shape and type that are known before there is a batch."""
        if None not in shape[1:]:
            check_array(self.name, np.zeros((1, *shape[1:]), dtype), None, self.watch.shape)

    def __call__(self, batch: Any) -> None:
        x, *rest = batch if isinstance(batch, tuple | list) else (batch,)
        with self.remembered():
            if not self.looked:
                self.looked = True
                check_array(self.name, _to_numpy(x), None, self.watch.shape)
                check_no_weights(sample_weight=rest[1] if len(rest) > 1 else None)
                if rest and rest[0] is not x and rest[0] is not None:
                    check_targets(self.name, _to_numpy(x), _to_numpy(rest[0]))
            elif hasattr(x, "dtype"):
                check_shape(self.name, tuple(x.shape), self.watch.shape)
                check_images(self.name, _to_numpy(x[:1]))  # its type, and the values of one

    @contextlib.contextmanager
    def remembered(self) -> Iterator[None]:
        """Keep the first error, to be raised as it is."""
        try:
            yield
        except Exception as error:
            self.watch.problem = self.watch.problem or error
            raise


def _to_numpy(x: Any) -> Any:
    return x.detach().cpu().numpy() if hasattr(x, "detach") else x  # PyTorch's, perhaps on a GPU


def _yields_batches(x: Any) -> bool:
    if isinstance(x, keras.utils.PyDataset | Iterator) or hasattr(x, "element_spec"):
        return True
    return hasattr(type(x), "__iter__") and type(x).__module__.partition(".")[0] != "builtins"


def _watched(source: Any, look: _Look) -> Any:
    """Return the same source of batches, which shows each to `look` as it passes."""
    if isinstance(source, keras.utils.PyDataset):
        return _WatchedDataset(source, look)
    if hasattr(source, "element_spec"):  # a tf.data.Dataset, on any backend
        from vae.backends.tensorflow import first_of_spec, watch_first

        look.at_kind(*first_of_spec(source))
        return watch_first(source, look)
    if isinstance(source, Iterator):  # a generator, used up in one pass
        return _passing(source, look)
    # A DataLoader, which Keras knows by its class. The copy reads the same data.
    kind = type(source)
    twin = copy.copy(source)
    twin.__class__ = type(
        kind.__name__, (kind,), {"__iter__": lambda self: _passing(kind.__iter__(self), look)}
    )
    return twin


def _passing(batches: Iterator[Any], look: _Look) -> Iterator[Any]:
    with look.remembered():
        for batch in batches:
            look(batch)
            yield batch if isinstance(batch, tuple | list) else (batch,)  # Keras takes nothing else


class _WatchedDataset(keras.utils.PyDataset):
    def __init__(self, source: Any, look: _Look) -> None:
        options = ("workers", "use_multiprocessing", "max_queue_size")
        super().__init__(**{name: getattr(source, name) for name in options})
        self.source, self.look = source, look

    def __getitem__(self, index: int) -> Any:
        with self.look.remembered():
            batch = self.source[index]
            self.look(batch)
        return batch

    @property
    def num_batches(self) -> Any:
        return self.source.num_batches

    def on_epoch_begin(self) -> None:
        self.source.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self.source.on_epoch_end()
