"""Models beside each other: the latent plane of each, and what its decoder makes of the prior."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from vae._checks import Images, Labels, check_images, check_instance, check_labels, check_positive_int
from vae.figures.classes import choose_view, describe_places, draw_legend, draw_points, group_points
from vae.figures.latent import encode_in_plane
from vae.figures.picture import new_picture
from vae.figures.shared import clip_pictures, draw_picture, to_mosaic
from vae.model import VAE

_LIMIT = 2.5  # of the grids, in both dimensions


def plot_comparison(
    models: Mapping[str, VAE],
    images: Images,
    labels: Labels | None = None,
    *,
    n: int = 10,
    image_shape: tuple[int, ...] | None = None,
) -> Figure:
    """Draw models side by side: above the latent plane of each, below a grid of decoded points.

    The planes show z_mean, each on a scale of its own. The grids all cover -2.5 to 2.5 in both dimensions,
    where the prior N(0, I) has nearly all its weight.

    Args:
        models: By the name that stands above each: one `VAE` or more, of two latent dimensions.
        images: As `flatten` takes them.
        labels: One label an image, shape (images,); None draws one colour.
        n: Points along each side of the grids.
        image_shape: (height, width) or (height, width, channels); None infers a square.

    Returns:
        A matplotlib `Figure` with two axes a model.

    Raises:
        TypeError: `models` is no mapping to VAEs, or images of a type other than uint8 or float.
        ValueError: No model, one that is not 2-D, or another argument that is not as described.

    Example:
        >>> import numpy as np, vae
        >>> models = {"untrained": vae.VAE(vae.build_encoder(), vae.build_decoder())}
        >>> len(vae.plot_comparison(models, np.random.rand(20, 784)).axes)
        2
    """
    if not isinstance(models, Mapping):
        raise TypeError(f"models must be a mapping from names to models; got {type(models).__name__}.")
    if not models:
        raise ValueError("models must hold one model or more; got none.")
    array, n = check_images("images", images), check_positive_int("n", n)
    names = None if labels is None else check_labels("labels", labels, len(array))
    steps = np.linspace(-_LIMIT, _LIMIT, n) if n > 1 else np.zeros(1)
    points = np.stack(np.meshgrid(steps, steps[::-1]), axis=-1).reshape(-1, 2)  # the first row is the top one
    figure = new_picture(figsize=(3.4 * len(models), 6.8))
    told = []
    for (name, model), (above, below) in zip(
        models.items(), figure.subplots(2, len(models), squeeze=False).T, strict=True
    ):
        check_instance(f"models[{name!r}]", model, VAE)
        z_mean = encode_in_plane(f"models[{name!r}]", model, array)[:, :2]
        groups, view = group_points(z_mean, names), choose_view(z_mean)
        draw_points(above, groups, size=5)
        above.set(title=name, xlim=view.x, ylim=view.y, xlabel="z_mean[0]", ylabel="z_mean[1]")
        above.set_aspect("equal", adjustable="box")
        above.locator_params(nbins=4)
        above.locator_params(axis="x", nbins=3)  # wide numbers run together
        mosaic = to_mosaic(clip_pictures("decoded images", model.decode(points), image_shape), n)
        draw_picture(below, mosaic, extent=(-_LIMIT, _LIMIT) * 2, aspect="equal")
        below.set(xlabel="z[0]", ylabel="z[1]")
        told.append(f"{name}.{describe_places(groups)}")
    if names is not None:
        draw_legend(above, groups, loc="outside lower center", ncols=4 * len(models), markerscale=3)
    figure.alt = (
        f"{len(models)} models side by side: above the z_mean of {len(array):,} images, below a grid of "
        f"{n} x {n} decoded points from -{_LIMIT} to {_LIMIT}. {' '.join(told)}"
    )
    return figure
