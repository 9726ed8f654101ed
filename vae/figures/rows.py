"""Images in rows: from the data set, reconstructed, and of several models one above another."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from vae._checks import Images, Labels, as_array, check_instance, check_labels, check_positive_int
from vae.figures.picture import Picture, new_picture
from vae.figures.shared import Shape, check_several, clip_pictures, draw_picture, to_pictures
from vae.model import VAE, Autoencoder
from vae.training.image_model import ImageModel
from vae.training.inputs import check_shape

_PER_ROW = 10  # images
_MOST_LISTED = 20  # labels in words


def plot_digits(
    images: Images, labels: Labels | None = None, *, n: int = 10, image_shape: Shape = None
) -> Figure:
    """Draw the first `n` images, ten in a row, each under its label.

    Args:
        images: As `flatten` takes them.
        labels: One label an image, shape (images,).
        n: How many to draw; fewer where there are fewer.
        image_shape: (height, width) or (height, width, channels); None infers a square.

    Returns:
        A matplotlib `Figure` with one axes an image.

    Raises:
        ValueError: An `n` below 1, images or labels of a wrong shape or range, or an `image_shape` that
            does not fit, or is missing: for flat images that are not square, and for as many flat images
            as they have pixels, which might be one image.
        TypeError: Images of a type other than uint8 or float.

    Example:
        >>> import numpy as np, vae
        >>> len(vae.plot_digits(np.zeros((3, 64)), labels=[7, 2, 1]).axes)
        3
    """
    if labels is None and image_shape is None:
        check_several("images", images)
    pictures = to_pictures("images", images, image_shape, check_positive_int("n", n))
    titles = _titles("labels", labels, len(np.asarray(images)))[:n]
    figure = draw_cells(pictures, min(len(pictures), _PER_ROW), titles)
    rows = "in a row" if len(pictures) <= _PER_ROW else f"in rows of {_PER_ROW}"
    number = f"{len(pictures)} images {rows}" if len(pictures) > 1 else "One image"
    figure.alt = f"{number}, labelled {_listed(titles)}." if titles else f"{number}."
    return figure


def plot_reconstructions(
    model: ImageModel, images: Images, labels: Labels | None = None, *, n: int = 10, image_shape: Shape = None
) -> Figure:
    """Draw the first `n` images in a row, and below each what the model makes of it.

    A VAE's reconstruction is decode(z_mean): nothing is sampled.

    Args:
        model: A `VAE` or an `Autoencoder`.
        images: As in `plot_digits`.
        labels: One label an image, shape (images,).
        n: How many to draw; fewer where there are fewer.
        image_shape: (height, width) or (height, width, channels); None infers a square.

    Returns:
        A matplotlib `Figure` with two rows of axes.

    Raises:
        TypeError: `model` is neither a VAE nor an autoencoder; images of a type other than uint8 or float.
        ValueError: As in `plot_digits`, or images of another size than the model takes.

    Example:
        >>> import numpy as np, vae
        >>> len(vae.plot_reconstructions(vae.build_autoencoder(), np.zeros((3, 784))).axes)
        6
    """
    check_instance("model", model, VAE, Autoencoder)
    wanted = model.encoder.input_shape
    check_shape("images", as_array("images", images).shape, wanted)
    if image_shape is None and len(wanted) == 4 and np.ndim(images) == 2:
        image_shape = wanted[1:]
    pictures = to_pictures("images", images, image_shape, check_positive_int("n", n))
    array, name = np.asarray(images), "reconstruction"
    output = model.reconstruct(array[: len(pictures)])
    rows = np.concatenate([pictures, clip_pictures("reconstructions", output, pictures.shape[1:])])
    names = ["image", f"{name}\nfrom z_mean" if isinstance(model, VAE) else name]
    titles = _titles("labels", labels, len(array))[: len(pictures)]
    figure = draw_cells(rows, len(pictures), titles, names)
    listed = f" ({_listed(titles)})" if titles else ""
    number = (
        f"{len(pictures)} images{listed} and below each" if len(pictures) > 1 else f"One image{listed} and"
    )
    figure.alt = f"{number} its reconstruction{' from z_mean' * isinstance(model, VAE)}."
    return figure


def plot_rows(rows: Mapping[str, Images], *, titles: Sequence[str] = (), image_shape: Shape = None) -> Figure:
    """Draw several rows of images, one above another, each beside its name: for comparing what models make.

    Args:
        rows: The images of each row by its name, as `flatten` takes them; all rows hold as many.
        titles: What stands above the columns, one text each, such as labels; empty writes nothing.
        image_shape: (height, width) or (height, width, channels); None infers a square.

    Returns:
        A matplotlib `Figure` with one axes an image, row by row.

    Raises:
        TypeError: `rows` is no mapping from strings, or images are of a type other than uint8 or float.
        ValueError: No rows, rows of different length or shape, images as `plot_digits` refuses them, or not
            as many titles as columns.

    Example:
        >>> import numpy as np, vae
        >>> images = np.zeros((5, 64))
        >>> len(vae.plot_rows({"image": images, "autoencoder": images, "VAE": images}).axes)
        15
    """
    if not isinstance(rows, Mapping) or not all(isinstance(name, str) for name in rows):
        raise TypeError(f"rows must be a mapping from names to images; got {type(rows).__name__}.")
    strips = {name: _strip(f"rows[{name!r}]", images, image_shape) for name, images in rows.items()}
    shapes = {name: strip.shape for name, strip in strips.items()}
    if len(set(shapes.values())) != 1:
        raise ValueError(
            f"rows must hold at least one row, all of as many images of one shape; got {shapes}."
        )
    columns = next(iter(shapes.values()))[0]
    above = [] if isinstance(titles, Sequence) and not titles else _titles("titles", titles, columns)
    names = [_escape(name) for name in strips]
    figure = draw_cells(np.concatenate(list(strips.values())), columns, above, names)
    listed = f" ({_listed(above)})" if above else ""
    shown = f"{columns} images" if columns > 1 else "one image"
    figure.alt = (
        f"{len(strips)} row{'s' * (len(strips) > 1)} of {shown}{listed}, from the top: {'; '.join(strips)}."
    )
    return figure


def _strip(name: str, images: Images, image_shape: Shape) -> np.ndarray:
    """Return a row of pictures."""
    if image_shape is None:
        check_several(name, images)
    return to_pictures(name, images, image_shape)


def _titles(name: str, labels: Labels | None, n: int) -> list[str]:
    if labels is None:
        return []
    return [_escape(str(label)) for label in check_labels(name, labels, n)]


def _escape(text: str) -> str:
    return text.replace("$", r"\$")  # a dollar would open a formula


def _listed(titles: list[str]) -> str:
    """Return titles in words, the first ones of many."""
    more = ["..."] * (len(titles) > _MOST_LISTED)
    return ", ".join([title.replace(r"\$", "$") for title in titles[:_MOST_LISTED]] + more)


def draw_cells(
    pictures: np.ndarray, columns: int, titles: list[str], row_names: Sequence[str] = (), inches: float = 1
) -> Picture:
    """Draw pictures in rows of `columns`, the first ones under titles, each row beside its name."""
    rows = -(-len(pictures) // columns)
    height, width = (inches * side / max(pictures.shape[1:3]) for side in pictures.shape[1:3])
    # Names lie flat, as wide as their longest line: 0.075 inches a letter.
    beside = 0.1 * bool(row_names) + 0.075 * max(map(len, "\n".join(row_names).split("\n")))
    above = 0.25 * -(-len(titles) // columns)
    figure = new_picture(figsize=(columns * width + beside, rows * height + above))
    for i, picture in enumerate(pictures):
        ax = figure.add_subplot(rows, columns, i + 1)
        draw_picture(ax, picture)
        ax.set(xticks=[], yticks=[])
        if i < len(titles):
            ax.set_title(titles[i], fontsize=10, pad=3)
        if row_names and i % columns == 0:
            name = row_names[i // columns]
            ax.set_anchor("W")  # or the layout cuts off names beside pictures that do not fill their cells
            ax.set_ylabel(name, fontsize=9, rotation=0, ha="right", va="center", multialignment="right")
    return figure
