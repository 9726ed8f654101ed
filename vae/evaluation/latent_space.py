"""What pictures of the latent space suggest, in numbers: whether neighbours are alike, and what is in use."""

import numpy as np

from vae._checks import Labels, Points, check_labels, check_non_negative, check_points


def nearest_neighbor_accuracy(z: Points, labels: Labels) -> float:
    """Return the share of points whose nearest other point has the same label.

    Args:
        z: Latent points, such as the z_mean of `VAE.encode`, shape (n, latent_dim), n at least 2.
        labels: One label a point, shape (n,).

    Returns:
        A number from 0 to 1.

    Raises:
        ValueError: Points or labels of a wrong shape, or fewer than two points.
        TypeError: Points that are no numbers.

    Example:
        >>> import vae
        >>> vae.nearest_neighbor_accuracy([[0.0, 0.0], [0.1, 0.0], [5.0, 5.0], [5.1, 5.0]], [1, 1, 2, 3])
        0.5
    """
    from scipy.spatial import cKDTree

    points = check_points("z", z)
    names = check_labels("labels", labels, len(points))
    if len(points) < 2:
        raise ValueError("z must hold at least 2 points; got 1.")
    _, nearest = cKDTree(points).query(points, k=2)
    own = np.arange(len(points))
    others = np.where(nearest[:, 0] == own, nearest[:, 1], nearest[:, 0])  # of equal points, any comes first
    return float(np.mean(names[others] == names))


def active_units(z_mean: Points, threshold: float = 0.01) -> int:
    """Return how many latent dimensions carry information: those whose z_mean varies over images.

    Burda et al. 2016 (arXiv 1509.00519), section 5.2: a dimension is active if the variance of its
    z_mean over images is above 0.01. The KL term switches off what the decoder does not need.

    Args:
        z_mean: The means of many images, shape (n, latent_dim).
        threshold: Least variance of an active dimension.

    Returns:
        A number from 0 to latent_dim.

    Raises:
        ValueError: `z_mean` of a wrong shape, or not finite; a `threshold` that is negative or not finite.
        TypeError: No numbers.

    Example:
        >>> import vae
        >>> vae.active_units([[1.0, 0.0], [-1.0, 0.0], [0.5, 0.01]])
        1
    """
    variance = check_points("z_mean", z_mean).var(axis=0, dtype=np.float64)
    return int(np.sum(variance > check_non_negative("threshold", threshold)))
