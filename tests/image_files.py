from PIL import Image

from vae.data.folder import load_images


def save(path, value=0, size=(4, 4), mode="L", **options):
    """Write an image of one color; `size` is (width, height), as in Pillow."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path, **options)
    return path


def fill(folder, counts, start=1):
    """Write `counts[name]` images a class; each has a value of its own, which tells it from the others."""
    value = start
    for name in sorted(counts):
        for i in range(counts[name]):
            save(folder / name / f"{i:03}.png", value)
            value += 1
    return folder


def read(path, color="grayscale", size=(4, 4)):
    """Load a folder's only image."""
    data = load_images(path.parent, size, color, test_share=0)
    assert len(data.x_train) == 1
    return data.x_train[0]


def values(x):
    return x[:, 0, 0].tolist()
