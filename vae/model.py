"""The variational autoencoder as a Keras model: it joins an encoder and a decoder and adds the loss.

The networks come from `builders`, the noise from `layers`, the formulas from `losses`, the care
around a run from `training`. Follows Kingma & Welling 2014, "Auto-Encoding Variational Bayes"
(arXiv 1312.6114).
"""

import copy
import math
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from vae._checks import (
    as_float,
    check_beta,
    check_choice,
    check_flag,
    check_images,
    check_path,
    check_points,
    check_positive_int,
    check_seed,
)
from vae._keras import keras
from vae.callbacks import BetaWarmUp, plain_verbosity
from vae.data import scale, unscale
from vae.files.atomic import write_whole
from vae.files.model_file import checked_archive, refusal
from vae.layers import drawn_seed, reparameterize
from vae.losses import RECONSTRUCTION_LOSSES, kl_divergence
from vae.runs.distribution import alone
from vae.training.chunked import INFERENCE_BATCH, ChunkedModel, Inference, yields_chunks

ops = keras.ops

_GENERATED = 4 * INFERENCE_BATCH  # images that are made at a time
# Of images; NumPy has more, such as floats of 128 bits or in the byte order of other machines.
_BACKEND_TYPES = [np.dtype(name) for name in ("uint8", "float16", "float32", "float64")]
_NO_TARGETS = (
    "A VAE is trained to give back its own input, and its loss is built in: reconstruction + beta * KL."
)


@keras.saving.register_keras_serializable(package="vae")
class VAE(ChunkedModel):
    """A variational autoencoder: `compile`, `fit`, `evaluate`, `predict` and `save` as any Keras model.

    Minimises the mean over images of reconstruction + beta * KL (Kingma & Welling 2014, arXiv
    1312.6114, equation 10; beta: Higgins et al. 2017). Training and `evaluate` decode a sample z,
    as the loss demands; `predict` and `reconstruct` decode z_mean and are deterministic.

    Images are (n, pixels), (n, height, width) or (n, height, width, channels), either uint8 (divided
    by 255 on the way in) or floats in [0, 1]. There are no labels and no targets: `fit(x)` and
    `fit(x, x)` mean the same.

    Args:
        encoder: A `keras.Model` with the outputs [z_mean, z_log_sigma, z], each (batch, latent_dim).
        decoder: A `keras.Model` from (batch, latent_dim) to the encoder's input shape.
        beta: Weight of the KL term, 0 or more.
        reconstruction: The other term: "mse", the squared error summed over pixels
            (`reconstruction_loss`), or "bernoulli", the binary cross-entropy (`bernoulli_loss`).
        **kwargs: `name` and the like, as for any Keras model.

    Raises:
        TypeError: `encoder` or `decoder` is no Keras model.
        ValueError: The two do not fit together, `beta` is negative or not finite, or
            `reconstruction` is neither of the two.

    Example:
        >>> import numpy as np, vae
        >>> model = vae.VAE(vae.build_encoder(), vae.build_decoder())
        >>> model.compile()
        >>> images = np.zeros((8, 28, 28), "uint8")
        >>> history = model.fit(images, epochs=1, verbose=0)
        >>> model.reconstruct(images).shape
        (8, 28, 28)
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        beta: float = 1.0,
        reconstruction: str = "mse",
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"name": "VAE-Model", **kwargs})
        _check_networks(encoder, decoder)
        self.reconstruction = check_choice("reconstruction", reconstruction, RECONSTRUCTION_LOSSES)
        self.encoder = encoder
        self.decoder = decoder
        self._beta = keras.Variable(check_beta("beta", beta), trainable=False, dtype="float32", name="beta")
        self.beta = beta
        self.reconstruction_tracker = keras.metrics.Mean(name="reconstruction_loss")
        self.kl_tracker = keras.metrics.Mean(name="kl_loss")
        # The encoder without its sampling layer: x -> [z_mean, z_log_sigma], sharing its layers.
        self._encode = Inference(keras.Model(encoder.input, encoder.outputs[:2], name="Mean-Encoder-Model"))
        self._decode = Inference(decoder)
        self.built = True  # both networks come built

    @property
    def beta(self) -> float:
        """Weight of the KL term; may be set at any time, also by a callback in the middle of a run."""
        return self._beta_as_given

    @beta.setter
    def beta(self, value: float) -> None:
        self._beta_as_given = check_beta("beta", value)
        self._beta.assign(self._beta_as_given)  # compiled steps read the variable

    def _take_over_variables(self) -> None:
        kept = float(ops.convert_to_numpy(self._beta.value))
        if math.isfinite(kept) and not math.isclose(kept, self._beta_as_given, rel_tol=1e-6):
            self._beta_as_given = kept

    # What the model computes

    def call(self, x: Any) -> Any:
        """Return decode(z_mean), in the decoder's output shape."""
        z_mean, _ = self._encode.network(self._as_input(x))
        return self.decoder(z_mean)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Return the mean of reconstruction + beta * KL over a batch; Keras calls this at each step.

        `y_pred`, the deterministic reconstruction, is left aside: compiled graphs drop it unused.
        """
        if sample_weight is not None:
            raise ValueError(f"sample_weight is not supported. {_NO_TARGETS}")
        if y is not None and _static_shape(y) != _static_shape(x):
            raise ValueError(f"y must be x itself, or left out; got shape {y.shape}. {_NO_TARGETS}")
        x = self._as_input(x)
        output, z_mean, z_log_sigma = self._forward(x, training=training)
        reconstruction = RECONSTRUCTION_LOSSES[self.reconstruction](x, output)
        kl = kl_divergence(z_mean, z_log_sigma)
        self.reconstruction_tracker.update_state(reconstruction)
        self.kl_tracker.update_state(kl)
        # The mean of `vae_loss`, term by term: the trackers take the same means, so both are computed once.
        return ops.mean(reconstruction) + self._beta.value * ops.mean(kl)

    def _forward(self, x: Any, epsilon: Any = None, training: bool = False) -> tuple[Any, Any, Any]:
        if epsilon is None:
            z_mean, z_log_sigma, z = self.encoder(x, training=training)
        else:
            z_mean, z_log_sigma = self._encode.network(x, training=training)
            z = reparameterize(z_mean, z_log_sigma, ops.cast(epsilon, z_mean.dtype))
        return self.decoder(z, training=training), z_mean, z_log_sigma

    def _as_input(self, x: Any) -> Any:
        """Scale uint8 to [0, 1] and give images the encoder's shape, inside the compiled graph.

        Arrays come in that shape already (`_check_images`); batches of a `tf.data.Dataset` may not.
        """
        shape = _static_shape(x)
        if shape is not None and self._pixels(shape) != self._pixels(self.encoder.input_shape):
            raise ValueError(self._wrong_size("x", shape))
        dtype = keras.utils.standardize_dtype(x.dtype)
        if dtype != "uint8" and "float" not in dtype:
            raise TypeError(f"x must be uint8 (0 to 255) or floats in [0, 1]; got dtype {dtype}.")
        x = ops.cast(x, "float32")
        x = x / 255.0 if dtype == "uint8" else x
        return ops.reshape(x, (-1, *self.encoder.input_shape[1:]))

    # Training: Keras's own methods, with images checked and everything else left as it is

    def compile(self, optimizer: Any = None, loss: Any = None, metrics: Any = None, **kwargs: Any) -> None:
        """Choose how to train; with no arguments, by the recipe.

        The recipe is what did best for its time on the default model (the README has the table):
        Adam, whose learning rate `fit` raises to 3e-3 in the first steps (less for models above 110,000
        weights) and leads along half a cosine to 0, in batches of 32.
        It stands back where one of Keras's learning-rate callbacks is given. With an optimizer of
        your own ("adam" is Adam at a constant 1e-3) the rate is yours.

        Args:
            optimizer: A Keras name or optimizer; None follows the recipe.
            loss: Left out: the loss is built in.
            metrics: Left out, likewise.
            **kwargs: As in `keras.Model.compile`. `steps_per_execution` is the number of steps in a
                compiled chunk: "auto" (chosen from the sizes) or a number; 1 is plain Keras.

        Raises:
            ValueError: `loss` or `metrics` (or their weights) are given.
        """
        kwargs.update(loss=loss, metrics=metrics)
        for name in ("loss", "loss_weights", "metrics", "weighted_metrics"):
            if kwargs.get(name) is not None:
                raise ValueError(f"{name} must be left out of compile(); got {kwargs[name]!r}. {_NO_TARGETS}")
        super().compile(optimizer=optimizer, **kwargs)

    def fit(  # type: ignore[override]  # takes y, to check it
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        checkpoint: str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Train on images; arguments, callbacks and history as in `keras.Model.fit`.

        Args:
            x: Images as the class describes, or anything that yields batches of them (`tf.data`,
                `PyDataset`), alone or as (x, x).
            y: Left out, or x itself.
            batch_size: Images a step, 32 unless given.
            epochs: Passes over the data.
            verbose: "auto" (Keras's progress bar on a terminal, one line an epoch elsewhere), 0, 1, 2.
            callbacks: Keras callbacks; those of batches are called once a chunk.
            validation_split: Share of `x`, taken from its end, to validate on.
            validation_data: Images x, or (x, x).
            checkpoint: A folder. The state of the run is written into it after each epoch, and the same
                call goes on from there where a run was killed or interrupted, with the very numbers that
                it would have had (on the same machine and versions, images in arrays). A run that had
                ended returns at once. Callbacks keep the numbers that they count by.
            **kwargs: The other arguments of `keras.Model.fit`.

        Returns:
            The `History`: loss, reconstruction_loss and kl_loss (and val_...) by epoch, each a mean
            over images, in nats.

        Raises:
            ValueError: Images of a wrong shape or range, targets other than x, weights of samples
                or classes; numbers that make no sense; a checkpoint of a run with other settings.
            ModelFileError: A damaged checkpoint.
            TypeError: Images of a type other than uint8 or float; `callbacks` that are none; a
                checkpoint that is no path.
            FloatingPointError: The loss became NaN or infinite; training has stopped. (Not raised
                where Keras's `TerminateOnNaN` is among the callbacks.)
            OSError: A checkpoint could not be read or written; the one before is whole.
            KeyboardInterrupt: After Ctrl-C; the checkpoint of the last whole epoch is kept.
        """
        for name in ("sample_weight", "class_weight"):
            if kwargs.get(name) is not None:
                raise ValueError(f"{name} is not supported. {_NO_TARGETS}")
        x = self._check_data("x", x, y)
        if validation_data is not None:
            validation_data = self._check_validation(validation_data)
        if not 0 <= as_float(validation_split) < 1:
            raise ValueError(f"validation_split must be a share from 0 to below 1; got {validation_split!r}.")
        _check_verbose(verbose)
        given = callbacks if isinstance(callbacks, list | tuple) else [callbacks]
        for callback in given:
            if not isinstance(callback, keras.callbacks.Callback) and callbacks is not None:
                raise TypeError(f"callbacks must be Keras callbacks; got {callback!r}.")
            # Of a term of the loss, EarlyStopping and ModelCheckpoint cannot tell that lower is better.
            if getattr(callback, "mode", None) == "auto" and _names_a_term(getattr(callback, "monitor", "")):
                callback.mode = "min"
        try:
            return super().fit(
                x,
                batch_size,
                epochs,
                verbose,
                callbacks,
                validation_split,
                validation_data,
                checkpoint=checkpoint,
                **kwargs,
            )
        except BaseException:
            for callback in given:
                if isinstance(callback, BetaWarmUp):
                    callback.give_back()
            raise

    def evaluate(  # type: ignore[override]  # takes y, to check it
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        **kwargs: Any,
    ) -> Any:
        """Return loss, reconstruction_loss and kl_loss as means over images, in nats.

        z is sampled, as in training, so repeated calls differ slightly: the loss is a bound on the
        likelihood only if it is (decoding z_mean would flatter the model). Arguments as in
        `keras.Model.evaluate`; `return_dict=True` names the numbers.

        Raises:
            ValueError: Images of a wrong shape or range, or targets other than x.
            TypeError: Images of a type other than uint8 or float.
        """
        if kwargs.get("sample_weight") is not None:
            raise ValueError(f"sample_weight is not supported. {_NO_TARGETS}")
        x = self._check_data("x", x, y)
        _check_verbose(verbose)
        return super().evaluate(x, batch_size, verbose, **kwargs)

    def predict(
        self, x: Any, batch_size: int | None = None, verbose: Any = "auto", **kwargs: Any
    ) -> np.ndarray:
        """Return decode(z_mean), float32, in x's own shape; arguments as in `keras.Model.predict`.

        Raises:
            ValueError: Images of a wrong shape or range.
            TypeError: Images of a type other than uint8 or float.
        """
        inputs = self._check_data("x", x)
        _check_verbose(verbose)
        if batch_size is not None:
            check_positive_int("batch_size", batch_size)
        if isinstance(inputs, np.ndarray):
            batch_size = batch_size or INFERENCE_BATCH
        images = super().predict(inputs, batch_size=batch_size, verbose=plain_verbosity(verbose), **kwargs)
        images = np.asarray(images, dtype=np.float32)
        whole = _is_array(x) and len(images) == len(x)  # `steps` may have stopped it early
        return images.reshape(np.shape(x)) if whole else images

    # Using a trained model

    def encode(self, x: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return (z_mean, z_log_sigma) of images: deterministic, nothing is sampled.

        Args:
            x: n images, as the class describes.

        Returns:
            Two float32 arrays of shape (n, latent_dim); sigma = exp(z_log_sigma).

        Raises:
            ValueError: Images of a wrong shape or range.
            TypeError: Images of a type other than uint8 or float.

        Example:
            >>> import numpy as np, vae
            >>> model = vae.VAE(vae.build_encoder(), vae.build_decoder())
            >>> z_mean, z_log_sigma = model.encode(np.zeros((3, 784)))
            >>> z_mean.shape, z_log_sigma.shape
            ((3, 2), (3, 2))
        """
        z_mean, z_log_sigma = self._encode(self._check_images("x", x))
        return z_mean, z_log_sigma

    def decode(self, z: Any) -> np.ndarray:
        """Return the images at latent points, in the decoder's output shape.

        Args:
            z: Shape (n, latent_dim).

        Returns:
            float32, shape (n, pixels) or the decoder's own.

        Raises:
            ValueError: A wrong shape, or numbers that are not finite.
            TypeError: No numbers.

        Example:
            >>> import vae
            >>> model = vae.VAE(vae.build_encoder(), vae.build_decoder())
            >>> model.decode([[0.0, 0.0], [1.0, -1.0]]).shape
            (2, 784)
        """
        (images,) = self._decode(check_points("z", z, self.decoder.input_shape[-1]))
        return images

    def reconstruct(self, x: Any) -> np.ndarray:
        """Return decode(z_mean) for images, float32, in x's own shape. The same as `predict`.

        Args:
            x: n images, as the class describes.

        Returns:
            Array of x's shape.

        Raises:
            ValueError: Images of a wrong shape or range.
            TypeError: Images of a type other than uint8 or float.

        Example:
            >>> import numpy as np, vae
            >>> model = vae.VAE(vae.build_encoder(), vae.build_decoder())
            >>> model.reconstruct(np.zeros((3, 28, 28), "uint8")).shape
            (3, 28, 28)
        """
        self._check_images("x", x)
        return self.predict(x, verbose=0)

    def generate(self, n: int, seed: int | None = None, out: np.ndarray | None = None) -> np.ndarray:
        """Return n new images: points drawn from the prior N(0, I), decoded.

        Args:
            n: How many.
            seed: A whole number for the same images each time; None draws from the state that
                `keras.utils.set_random_seed` set.
            out: An array to write into, such as an `np.memmap` for more images than memory holds: shape
                (n, pixels) or (n, *the decoder's own), of floats or uint8 (0 to 255).

        Returns:
            float32, shape (n, pixels) or the decoder's own; or `out`.

        Raises:
            ValueError: `n` is no positive whole number, `seed` no whole number from 0 up, or `out` of a
                wrong shape or type or read-only.

        Example:
            >>> import vae
            >>> model = vae.VAE(vae.build_encoder(), vae.build_decoder())
            >>> model.generate(4, seed=0).shape
            (4, 784)
        """
        n, seed = check_positive_int("n", n), check_seed("seed", seed)
        shape = (n, *self.decoder.output_shape[1:])
        images = np.empty(shape, np.float32) if out is None else _check_out(out, shape)
        noise = keras.random.SeedGenerator(drawn_seed() if seed is None else seed)
        for start in range(0, n, _GENERATED):
            rows = min(_GENERATED, n - start)
            z = keras.random.normal((rows, self.decoder.input_shape[-1]), seed=noise)
            block = self.decode(ops.convert_to_numpy(z))
            images[start : start + rows] = unscale(block) if images.dtype == np.uint8 else block
        return images

    def losses_per_image(self, x: Any, epsilon: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the two terms of the loss for each image: (reconstruction, kl), in nats.

        Args:
            x: n images, as the class describes.
            epsilon: Shape (n, latent_dim): the noise to use, which makes the result deterministic.
                None draws it.

        Returns:
            Two float32 arrays of shape (n,).

        Raises:
            ValueError: Images or `epsilon` of a wrong shape or range.
            TypeError: Images of a type other than uint8 or float.

        Example:
            >>> import numpy as np, vae
            >>> model = vae.VAE(vae.build_encoder(), vae.build_decoder())
            >>> reconstruction, kl = model.losses_per_image(np.zeros((3, 784)), epsilon=np.zeros((3, 2)))
            >>> reconstruction.shape, kl.shape
            ((3,), (3,))
        """
        x = self._check_images("x", x)
        if epsilon is not None:
            epsilon = check_points("epsilon", epsilon, self.decoder.input_shape[-1])
            if len(epsilon) != len(x):
                raise ValueError(f"epsilon must have {len(x)} rows, one an image; got {len(epsilon)}.")
        reconstruction, kl = np.empty(len(x), np.float32), np.empty(len(x), np.float32)
        for start in range(0, len(x), INFERENCE_BATCH):
            rows = slice(start, start + INFERENCE_BATCH)
            inputs = ops.convert_to_tensor(scale(x[rows]))
            noise = None if epsilon is None else ops.convert_to_tensor(epsilon[rows])
            output, z_mean, z_log_sigma = self._forward(inputs, noise)
            nats = RECONSTRUCTION_LOSSES[self.reconstruction](inputs, output)
            reconstruction[rows] = ops.convert_to_numpy(nats)
            kl[rows] = ops.convert_to_numpy(kl_divergence(z_mean, z_log_sigma))
        return reconstruction, kl

    # Saving

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs: both networks, beta and the name."""
        return {
            "name": self.name,
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "decoder": keras.saving.serialize_keras_object(self.decoder),
            "beta": self.beta,
            "reconstruction": self.reconstruction,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "VAE":
        """Build a model, with new weights, from `get_config`."""
        parts = {
            name: keras.saving.deserialize_keras_object(
                copy.deepcopy(config[name]), custom_objects=custom_objects
            )
            for name in ("encoder", "decoder")
        }
        return cls(**{**config, **parts})

    def save(self, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Write the model to a `.keras` file, as `keras.Model.save` does; all of it, or nothing.

        Args:
            filepath: Where to; a name that ends in `.keras`. Folders above it are made.
            overwrite: Whether a file that is there may be replaced.

        Raises:
            ValueError: Another suffix: the old `.h5` format could not be loaded again.
            TypeError: `filepath` is neither a string nor a path object.
            FileExistsError: There is a file, and `overwrite` is False.
            OSError: The file could not be written; what was there is whole.
        """
        path = Path(check_path("filepath", filepath))
        if path.suffix != ".keras":
            raise ValueError(f"filepath must end in .keras; got {str(path)!r}.")
        if path.exists() and not check_flag("overwrite", overwrite):
            raise FileExistsError(f"filepath must be new where overwrite is False; {str(path)!r} is there.")
        with alone(), tempfile.TemporaryDirectory() as folder:
            whole = Path(folder, "model.keras")
            super().save(whole)
            write_whole(path, whole.read_bytes())

    # Checks

    def _check_data(self, name: str, x: Any, y: Any = None) -> Any:
        """Check arrays of images; what yields batches by itself is checked batch by batch."""
        images = self._check_images(name, x) if _is_array(x) else None
        if y is not None and y is not x and not _equal(x, y):
            raise ValueError(f"y must be {name} itself, or left out; got other values. {_NO_TARGETS}")
        if images is not None:
            return images
        if x is None or isinstance(x, str | bytes | dict | float | int):
            raise TypeError(f"{name} must be images, or yield batches of them; got {type(x).__name__}.")
        self._check_first_batch(name, x)
        return x

    def _check_validation(self, data: Any) -> Any:
        if not isinstance(data, tuple | list):
            return self._check_data("validation_data", data)
        if len(data) not in (1, 2):
            raise ValueError(f"validation_data must be x or (x, x); got {len(data)} parts. {_NO_TARGETS}")
        return self._check_data("validation_data", *data)

    def _check_images(self, name: str, images: Any) -> np.ndarray:
        array = check_images(name, images)
        if self._pixels(array.shape) != self._pixels(self.encoder.input_shape):
            raise ValueError(self._wrong_size(name, array.shape))
        if array.dtype not in _BACKEND_TYPES:
            array = array.astype(np.float32)
        return array.reshape(-1, *self.encoder.input_shape[1:])

    @staticmethod
    def _pixels(shape: Any) -> int:
        return math.prod(shape[1:])

    def _check_first_batch(self, name: str, data: Any) -> None:
        """Check the first batch of what yields batches, where one can look without using it up."""
        if yields_chunks(data):
            return  # made from an array that was checked
        if isinstance(data, keras.utils.PyDataset):
            batch = data[0]
        elif hasattr(data, "element_spec") and hasattr(data, "take"):  # a tf.data.Dataset
            batch = next(iter(data.take(1)), None)
        else:
            return
        x, *rest = batch if isinstance(batch, tuple | list) else (batch,)
        self._check_images(name, x)
        if rest and rest[0] is not None and not _equal(x, rest[0]):
            raise ValueError(f"y must be {name} itself, or left out; got other values. {_NO_TARGETS}")

    def _check_batch(self, x: Any, y: Any) -> Any:
        if not _is_array(x):
            raise TypeError(f"x must be a batch of images; got {type(x).__name__}.")
        return self._check_data("x", x, y)

    def train_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Make one step on a batch of images, as `keras.Model.train_on_batch`.

        Raises:
            ValueError: Images of a wrong shape or range, or targets other than x.
            TypeError: Images of a type other than uint8 or float.
        """
        return super().train_on_batch(self._check_batch(x, y), None, *args, **kwargs)

    def test_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Evaluate a batch of images, as `keras.Model.test_on_batch`.

        Raises:
            ValueError: Images of a wrong shape or range, or targets other than x.
            TypeError: Images of a type other than uint8 or float.
        """
        return super().test_on_batch(self._check_batch(x, y), None, *args, **kwargs)

    def _wrong_size(self, name: str, shape: Any) -> str:
        return (
            f"{name} must hold images of {self._pixels(self.encoder.input_shape)} values, as the encoder's "
            f"input {self.encoder.input_shape}; got {self._pixels(shape)} an image, shape {tuple(shape)}."
        )


def load_model(path: str | os.PathLike[str]) -> VAE:
    """Load a VAE that `model.save(path)` wrote, checked before anything is built from it.

    Nothing in the file is executed, whoever made it, and what it does not hold is not allocated.

    Args:
        path: A `.keras` file.

    Returns:
        The model, with weights, optimizer and compile settings.

    Raises:
        TypeError: `path` is neither a string nor a path object.
        FileNotFoundError: There is no such file.
        ModelFileError: The file is damaged, above 512 MiB, or holds some other model, weights that are not
            finite, code, or classes other than this package's and Keras's plain ones. It is a
            `ValueError`.

    Example:
        >>> import vae
        >>> model = vae.load_model("digits.keras")  # doctest: +SKIP
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must be a string or a path object; got {path!r}.")
    try:
        archive = checked_archive(path)
        with tempfile.TemporaryDirectory() as folder:
            copy_path = os.path.join(folder, "model.keras")
            with open(copy_path, "wb") as file:
                file.write(archive)
            del archive
            model = keras.saving.load_model(copy_path, safe_mode=True)
        _check_loaded(model)
    except FileNotFoundError:
        missing = f"path must be a .keras file; there is none at {os.fspath(path)!r}."
        raise FileNotFoundError(missing) from None
    except Exception as error:  # a damaged file can fail at any place in Keras, zipfile, json or h5py
        raise refusal(path, error) from None  # Keras's own errors may quote all of the file
    return model


def _check_out(out: Any, shape: tuple[int, ...]) -> np.ndarray:
    if not isinstance(out, np.ndarray) or out.shape != shape:
        got = f"shape {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise ValueError(f"out must be an array of shape {shape}; got {got}.")
    if out.dtype != np.uint8 and not np.issubdtype(out.dtype, np.floating):
        raise ValueError(f"out must hold floats or uint8; got dtype {out.dtype}.")
    if not out.flags.writeable:
        raise ValueError("out must be writeable; got a read-only array.")
    return out


def _check_loaded(model: Any) -> None:
    if not isinstance(model, VAE):
        raise ValueError(f"it holds a {type(model).__name__}")
    weight = float(model._beta)
    if weight != np.float32(model.beta):
        raise ValueError(f"beta is {model.beta:g} in its configuration and {weight:g} in its weights")
    for variable in (*model.variables, *getattr(getattr(model, "optimizer", None), "variables", ())):
        values = keras.ops.convert_to_numpy(variable.value)  # float64 in the file may be infinite here
        if values.dtype.kind not in "iub" and not np.isfinite(values.astype(np.float32)).all():
            raise ValueError(f"its weights are not finite, as {variable.dtype}")


def check_vae(name: str, model: Any) -> VAE:
    """Return a VAE."""
    if isinstance(model, VAE):
        return model
    raise TypeError(f"{name} must be a vae.VAE; got {type(model).__name__}.")


def _names_a_term(metric: str) -> bool:
    return metric.removeprefix("val_") in ("reconstruction_loss", "kl_loss")


def _check_verbose(value: Any) -> None:
    if not isinstance(value, str | int | np.integer) or value not in ("auto", 0, 1, 2):
        raise ValueError(f'verbose must be "auto", 0, 1 or 2; got {value!r}.')


def _is_array(x: Any) -> bool:
    return hasattr(x, "__array__") or isinstance(x, list | tuple)


def _static_shape(x: Any) -> tuple[int | None, ...] | None:
    # None: TensorFlow compiles for any rank or size, as some datasets leave them open.
    if getattr(x.shape, "rank", 0) is None or None in tuple(x.shape)[1:]:
        return None
    return tuple(x.shape)


def _equal(x: Any, y: Any) -> bool:
    return _is_array(x) and _is_array(y) and np.array_equal(x, y)


def _check_networks(encoder: Any, decoder: Any) -> None:
    for name, network in (("encoder", encoder), ("decoder", decoder)):
        if not isinstance(network, keras.Model):
            raise TypeError(f"{name} must be a keras.Model; got {type(network).__name__}.")
        if not getattr(network, "inputs", None) or not network.outputs:
            raise ValueError(f"{name} must be built, with known inputs and outputs; {network.name!r} is not.")
    outputs = [tuple(output.shape) for output in encoder.outputs]
    if len(outputs) != 3 or len(set(outputs)) != 1 or len(outputs[0]) != 2:
        raise ValueError(
            "encoder must have three outputs [z_mean, z_log_sigma, z], each of shape (batch, latent_dim); "
            f"got {outputs}."
        )
    if tuple(decoder.input_shape) != outputs[0]:
        raise ValueError(
            f"encoder and decoder must have one latent size; the encoder gives {outputs[0]}, "
            f"the decoder takes {tuple(decoder.input_shape)}."
        )
    if tuple(decoder.output_shape) != tuple(encoder.input_shape):
        raise ValueError(
            f"encoder and decoder must have one image size; the encoder takes {tuple(encoder.input_shape)}, "
            f"the decoder gives {tuple(decoder.output_shape)}."
        )
