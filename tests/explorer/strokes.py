"""Strokes of a drawn digit: its skeleton by thinning, traced from pixel to pixel."""

import numpy as np

AROUND = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))  # clockwise, from above


def neighbours(image):
    padded = np.pad(image, 1)
    rows, columns = image.shape
    return np.stack([padded[1 + i : 1 + i + rows, 1 + j : 1 + j + columns] for i, j in AROUND])


def skeleton(image):
    """Thin what is set to lines of one pixel (Zhang & Suen 1984)."""
    thin, before = image.astype(int), None
    while before is None or (thin != before).any():
        before = thin.copy()
        for first in (True, False):
            p = neighbours(thin)
            steps = ((p == 0) & (np.roll(p, -1, axis=0) == 1)).sum(axis=0)
            above, right, below, left = p[0], p[2], p[4], p[6]
            free = (
                (above * right * below == 0) & (right * below * left == 0)
                if first
                else (above * right * left == 0) & (above * below * left == 0)
            )
            count = p.sum(axis=0)
            thin = np.where((thin == 1) & (count >= 2) & (count <= 6) & (steps == 1) & free, 0, thin)
    return thin


def trace(thin):
    """Return the lines as lists of pixels (row, column), each pixel in one of them, from ends first."""
    left, strokes = set(map(tuple, np.argwhere(thin).tolist())), []

    def onwards(pixel):
        near = [(pixel[0] + i, pixel[1] + j) for i, j in AROUND[::2] + AROUND[1::2]]
        return [step for step in near if step in left]

    while left:
        pixel = min(sorted(left), key=lambda each: len(onwards(each)))
        stroke = [pixel]
        left.remove(pixel)
        while steps := onwards(stroke[-1]):
            stroke.append(steps[0])
            left.remove(steps[0])
        strokes.append(stroke)
    return strokes
