"""What an autoencoder and a VAE have in common: an encoder, a decoder, images in, and no targets.

The way of a batch through `fit`: `run` (in `chunked`) hands Keras the images; Keras's own training step calls
`compute_loss`, which asks the class for its `loss_terms`, adds them up by weight, and tracks each by name.
"""

import contextlib
import os
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from vae._checks import Images, Points, check_points, check_positive_int, check_verbose
from vae._keras import Tensor, keras
from vae.callbacks import check_callbacks, plain_verbosity
from vae.data import to_float32
from vae.losses import bernoulli_loss, weighted_sum
from vae.training import inputs
from vae.training.chunked import ChunkedModel
from vae.training.inference import INFERENCE_BATCH, Inference
from vae.training.plan import Plan
from vae.training.streams import Watch
from vae.training.terms import (
    LOADING,
    check_probabilities,
    reconstruction_config,
    reconstruction_term,
    term_names,
)


class ImageModel(ChunkedModel):
    """An encoder and a decoder: `compile`, `fit`, `evaluate`, `predict`, `save` as any Keras model.

    Images are (n, pixels), (n, height, width) or (n, height, width, channels), either uint8 (divided by
    255 on the way in) or floats in [0, 1]. There are no labels and no targets: `fit(x)` and `fit(x, x)`
    mean the same.

    A subclass gives `call`, `encode` and `loss_terms`, whose names are taken when it is compiled.
    `code_network` is the encoder without what is random in it, sharing its layers.

    Raises:
        ValueError: By every method that takes them: images x of a wrong shape or range, or targets y
            other than x.
        TypeError: Likewise: images x of a type other than uint8 or float.
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        reconstruction: str | Callable[..., Tensor],
        code_network: keras.Model,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.encoder, self.decoder = encoder, decoder
        self._encode, self._decode = Inference(code_network), Inference(decoder)
        codes = code_network.outputs[0]  # of a VAE, z_mean
        self._reconstruct = Inference(keras.Model(code_network.input, decoder(codes)))
        self.reconstruction = reconstruction
        self.reconstruction_loss = reconstruction_term(reconstruction, encoder.input_shape)
        if self.reconstruction_loss is bernoulli_loss:
            check_probabilities(decoder)
        # Not a dictionary, which Keras would track: compiled twice, a model would list its terms twice.
        self._trackers: Mapping[str, keras.metrics.Mean] = MappingProxyType({})
        self.built = True  # both networks come built

    # The loss

    def loss_terms(self, x: Tensor, training: bool = False) -> dict[str, Tensor]:
        """Return the terms of the loss by name, each (batch,), for images in the encoder's shape."""
        raise NotImplementedError

    def term_weights(self) -> Mapping[str, Any]:
        """Return the weights of terms by name; the others count once."""
        return {}

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """Return the mean over a batch of the weighted terms; Keras's step calls this, y_pred is unused."""
        inputs.check_no_weights(sample_weight=sample_weight)
        if y is not None and inputs.static_shape(y) != inputs.static_shape(x):
            raise ValueError(f"y must be x itself, or left out; got shape {y.shape}. {inputs.NO_TARGETS}")
        x = inputs.scale_batch(x, self.encoder.input_shape)  # floats in [0, 1], (batch, *image_shape)
        terms = self.loss_terms(x, training=training)  # each (batch,)
        for name, tracker in self._trackers.items():
            tracker.update_state(terms[name])
        # Means first: the trackers take the same, so that each is computed once.
        return weighted_sum({name: keras.ops.mean(term) for name, term in terms.items()}, self.term_weights())

    def codes_of_batch(self, x: Tensor) -> Any:
        """Return what the code network gives for a batch, inside the compiled graph."""
        return self._encode.network(inputs.scale_batch(x, self.encoder.input_shape))

    def losses_per_image(self, x: Images) -> tuple[np.ndarray, ...]:
        """Return the terms of the loss for each image, in nats.

        Args:
            x: n images, as the class describes.

        Returns:
            float32 arrays of shape (n,), one a term, in their order.
        """
        return self.terms_of(self.shape_images("x", x))

    def terms_of(self, x: np.ndarray, **given: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return the terms for checked images; `given` are arguments of `loss_terms`, a row an image."""
        parts = []
        # What is given, such as noise, need not be drawn: the generators then stay as they are.
        scope = keras.StatelessScope() if given else contextlib.nullcontext()
        for start in range(0, len(x), INFERENCE_BATCH):
            rows = slice(start, start + INFERENCE_BATCH)
            some = {name: keras.ops.convert_to_tensor(value[rows]) for name, value in given.items()}
            with scope:
                terms = self.loss_terms(keras.ops.convert_to_tensor(to_float32(x[rows])), **some)
            parts.append(
                [np.asarray(keras.ops.convert_to_numpy(term), np.float32) for term in terms.values()]
            )
        return tuple(np.concatenate(pieces) for pieces in zip(*parts, strict=True))

    @property
    def metrics(self) -> list[Any]:
        """The loss and its terms, each a mean over images."""
        return [*super().metrics, *self._trackers.values()]

    # Training: Keras's own methods, with images checked and everything else left as it is

    def compile(self, optimizer: Any = None, loss: Any = None, metrics: Any = None, **kwargs: Any) -> None:
        """Choose how to train, as `ChunkedModel.compile`: with no arguments, by the recipe.

        Raises:
            ValueError: `loss` or `metrics` (or their weights) are given: the loss is built in.
        """
        kwargs.update(loss=loss, metrics=metrics)
        for name in ("loss", "loss_weights", "metrics", "weighted_metrics"):
            if kwargs.get(name) is not None:
                got = f"{kwargs[name]!r}. {inputs.NO_TARGETS}"
                raise ValueError(f"{name} must be left out of compile(); got {got}")
        self._trackers = MappingProxyType({name: keras.metrics.Mean(name) for name in term_names(self)})
        super().compile(optimizer=optimizer, **kwargs)

    def fit(
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
            callbacks: Keras callbacks; those of batches are called once a chunk, or, where one of them counts
                steps (`ModelCheckpoint(save_freq=100)`), once a step, which is slower. One that monitors a
                term of the loss must be given mode="min".
            validation_split: Share of `x`, taken from its end, to validate on.
            validation_data: Images x, or (x, x).
            checkpoint: A folder. The state of the run is written into it after each epoch, and the same
                call goes on from there where a run was killed or interrupted, with the very numbers that
                it would have had (on the same machine and versions, images in arrays). A run that had
                ended returns at once. Callbacks keep the numbers that they count by.
            **kwargs: The other arguments of `keras.Model.fit`.

        Returns:
            The `History`: the loss and its terms (and val_...) by epoch, each a mean over images, in nats.

        Raises:
            ValueError: Weights of samples or classes; numbers that make no sense; a callback that cannot
                tell that lower is better; a checkpoint of a run with other settings.
            ModelFileError: A damaged checkpoint.
            TypeError: `callbacks` that are none; a checkpoint that is no path.
            FloatingPointError: The loss became NaN or infinite; training has stopped. (Not raised
                where Keras's `TerminateOnNaN` is among the callbacks.)
            OSError: A checkpoint could not be read or written; the one before is whole.
            KeyboardInterrupt: After Ctrl-C; the checkpoint of the last whole epoch is kept.
        """
        inputs.check_no_weights(**{name: kwargs.get(name) for name in ("sample_weight", "class_weight")})
        with Watch(self.encoder.input_shape) as watch:
            x = watch.check("x", x, y)
            if validation_data is not None:
                validation_data = watch.check_validation(validation_data)
            check_callbacks(callbacks, self._trackers)
            settings = (validation_split, batch_size, epochs, verbose, callbacks, checkpoint, kwargs)
            return self.run(Plan(x, validation_data, *settings))

    def evaluate(  # type: ignore[override]  # takes y, to check it
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        **kwargs: Any,
    ) -> Any:
        """Return the loss and its terms as means over images, in nats.

        A VAE samples z here, as in training, so that repeated calls differ slightly: decoding z_mean
        would flatter it. Arguments as in `keras.Model.evaluate`; `return_dict=True` names the numbers.
        """
        inputs.check_no_weights(sample_weight=kwargs.get("sample_weight"))
        check_verbose(verbose)
        with Watch(self.encoder.input_shape) as watch:
            return super().evaluate(watch.check("x", x, y), batch_size, verbose, **kwargs)

    def predict(
        self, x: Any, batch_size: int | None = None, verbose: Any = "auto", **kwargs: Any
    ) -> np.ndarray:
        """Return reconstructions, float32, in x's own shape; arguments as in `keras.Model.predict`."""
        check_verbose(verbose)
        if batch_size is not None:
            check_positive_int("batch_size", batch_size)
        with Watch(self.encoder.input_shape) as watch:
            images = watch.check("x", x)
            if isinstance(images, np.ndarray):
                batch_size = batch_size or INFERENCE_BATCH
            verbose = plain_verbosity(verbose)
            output = super().predict(images, batch_size=batch_size, verbose=verbose, **kwargs)
        output = np.asarray(output, dtype=np.float32)
        whole = inputs.is_array(x) and len(output) == len(x)  # `steps` may have stopped it early
        return output.reshape(np.shape(x)) if whole else output

    def train_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Make one step on a batch of images, as `keras.Model.train_on_batch`."""
        x = inputs.check_batch(x, y, self.encoder.input_shape)
        return super().train_on_batch(x, None, *args, **kwargs)

    def test_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Evaluate a batch of images, as `keras.Model.test_on_batch`."""
        x = inputs.check_batch(x, y, self.encoder.input_shape)
        return super().test_on_batch(x, None, *args, **kwargs)

    def shape_images(self, name: str, images: Images) -> np.ndarray:
        """Return images, checked, in the shape that the encoder takes; errors call them by `name`."""
        return inputs.shape_images(name, images, self.encoder.input_shape)

    # Using a trained model

    def codes_of_images(self, x: Images) -> list[np.ndarray]:
        """Return what the code network gives for images, each float32, (n, latent_dim)."""
        return self._encode(self.shape_images("x", x))

    def decode(self, z: Points) -> np.ndarray:
        """Return the images at latent points, in the decoder's output shape.

        Args:
            z: Shape (n, latent_dim).

        Returns:
            float32, shape (n, pixels) or the decoder's own.

        Raises:
            ValueError: `z` of a wrong shape, or numbers that are not finite.
            TypeError: `z` holds no numbers.

        Example:
            >>> import vae
            >>> model = vae.VAE(vae.build_encoder(), vae.build_decoder())
            >>> model.decode([[0.0, 0.0], [1.0, -1.0]]).shape
            (2, 784)
        """
        (images,) = self._decode(check_points("z", z, self.decoder.input_shape[-1]))
        return images

    def reconstruct(self, x: Images) -> np.ndarray:
        """Return what the decoder makes of the codes, without noise, float32 in x's own shape, as `predict`.

        Args:
            x: n images, as the class describes.

        Example:
            >>> import numpy as np, vae
            >>> model = vae.VAE(vae.build_encoder(), vae.build_decoder())
            >>> model.reconstruct(np.zeros((3, 28, 28), "uint8")).shape
            (3, 28, 28)
        """
        images = self.shape_images("x", x)
        (output,) = self._reconstruct(images)
        return output.reshape(np.shape(x))

    # Saving

    def build(self, input_shape: Any = None) -> None:
        """Do nothing: both networks come built. But Keras then knows the shape of images."""

    def export(self, *args: Any, **kwargs: Any) -> Any:
        """Write what `predict` computes, for floats in [0, 1], as `keras.Model.export` does."""
        # Keras exports only what was built by this name, and called.
        self.build(self.encoder.input_shape)
        self(keras.ops.zeros((1, *self.encoder.input_shape[1:])))
        return super().export(*args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs: the networks, the reconstruction term, and what any layer has."""
        return {
            **{"name": self.name, "trainable": self.trainable, "dtype": self.dtype_policy.name},
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "decoder": keras.saving.serialize_keras_object(self.decoder),
            "reconstruction": reconstruction_config(self.reconstruction),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "ImageModel":
        """Build a model, with new weights, from `get_config`."""
        parts = ("encoder", "decoder", "reconstruction")
        config = {**config, **inputs.deserialized(config, parts, custom_objects)}
        token = LOADING.set(True)
        try:
            return cls(**config)
        finally:
            LOADING.reset(token)
