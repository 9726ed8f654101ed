"""The autoencoder and the variational autoencoder (VAE), as Keras models.

An autoencoder squeezes an image x into a few numbers, its code, and draws it again from them. A VAE makes a
model of the images out of it, from which new ones can be drawn (Kingma & Welling 2014, arXiv 1312.6114).
The model says: draw z from the prior N(0, I), then x around decode(z). That gives each image a probability
p(x), an integral over all z that nobody can compute. But for any Gaussian q(z|x)

    -log p(x)  <=  E_q[-log p(x|z)] + KL(q(z|x) || N(0, I)),

and the closer q is to the true p(z|x), the closer the two sides. The right side can be computed: its first
part is the reconstruction loss, up to an added constant. So that is what training lowers:

- Why sample? The encoder answers an image with a Gaussian q(z|x), the z that it may have come from, and the
  decoder gets a draw z from it. So every point near z_mean has to decode to the image.
- Why the KL divergence? Left alone, sigma would shrink to nothing and the means move apart, and we would be
  back at the autoencoder. The KL term pulls each Gaussian towards the prior, so that they lie close
  together and leave few holes. The reconstruction term pulls back: images with one and the same Gaussian
  cannot be told apart. beta sets the balance.
- Why N(0, I)? Any simple distribution would do. From this one it is easy to draw, and then a new image is
  decode(z); and the KL divergence to it is a short formula.
- Both terms are in nats (1 nat = 1.44 bits). Their sum is the bound above where beta = 1, and one draw of z
  an estimate of the expectation.

The two classes differ in what stands here. What they share is `ImageModel`'s: `fit` makes batches, and
Keras's training step calls its `compute_loss`. That asks `loss_terms`, below, for the terms, each (batch,),
and `term_weights` for their weights (1 where none is given), adds them up and takes the mean over the
batch. `call` has no part in the loss: it is what `predict` computes. To add a term, override `loss_terms`
and return one more tensor (batch,) under a name of its own: history, progress and `evaluate` show its mean,
before it is weighed. The x that it gets are floats in [0, 1], in the encoder's input shape.
`decode` and `codes_of_images` run a network on arrays, in large batches; `codes_of_batch` runs it inside a
Keras call.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from vae._checks import Images, check_non_negative, check_positive_int
from vae._keras import Tensor, keras
from vae.data import to_uint8
from vae.layers import reparameterize
from vae.losses import vae_loss_terms
from vae.training.image_model import ImageModel
from vae.training.inputs import check_networks, check_noise, check_out, noise_generator

GENERATED_AT_A_TIME = 4096


@keras.saving.register_keras_serializable(package="vae")
class Autoencoder(ImageModel):
    """An autoencoder: image -> code -> image, nothing sampled, no KL term.

    Minimises the mean over images of the reconstruction loss (Hinton & Salakhutdinov 2006, doi
    10.1126/science.1127647). Trains, saves and loads as a `VAE`: by Adam on a schedule, unless `compile`
    is given an optimizer.

    Args:
        encoder: A `keras.Model` from images to codes, (batch, latent_dim).
        decoder: A `keras.Model` from (batch, latent_dim) to the encoder's input shape.
        reconstruction: See `VAE`.
        **kwargs: `name` and the like, as for any Keras model.

    Raises:
        TypeError: `encoder` or `decoder` is no Keras model.
        ValueError: The two do not fit together, or `reconstruction` is not one that `VAE` takes.

    Example:
        >>> import numpy as np, vae
        >>> autoencoder = vae.build_autoencoder()
        >>> autoencoder.compile()
        >>> images = np.zeros((8, 28, 28), "uint8")
        >>> history = autoencoder.fit(images, epochs=1, verbose=0)
        >>> autoencoder.reconstruct(images).shape
        (8, 28, 28)
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        reconstruction: str | Callable[..., Tensor] = "mse",
        **kwargs: Any,
    ) -> None:
        check_networks(encoder, decoder, ("code",))
        kwargs = {"name": "Autoencoder-Model", **kwargs}
        super().__init__(encoder, decoder, reconstruction, code_network=encoder, **kwargs)

    def call(self, x: Tensor) -> Tensor:
        """Return decode(code), in the decoder's output shape."""
        code = self.codes_of_batch(x)  # (batch, latent_dim)
        return self.decoder(code)  # (batch, *image_shape)

    def loss_terms(self, x: Tensor, training: bool = False) -> dict[str, Tensor]:
        """Return the reconstruction loss of each image, in a dictionary of one."""
        code = self.encoder(x, training=training)  # (batch, latent_dim)
        reconstruction = self.decoder(code, training=training)  # (batch, *image_shape), as x
        return {"reconstruction_loss": self.reconstruction_loss(x, reconstruction)}  # (batch,)

    def encode(self, x: Images) -> np.ndarray:
        """Return the codes of images.

        Args:
            x: n images, as the class describes.

        Returns:
            float32, shape (n, latent_dim).

        Example:
            >>> import numpy as np, vae
            >>> vae.build_autoencoder().encode(np.zeros((3, 784))).shape
            (3, 2)
        """
        (codes,) = self.codes_of_images(x)  # a list of one: (n, latent_dim)
        return codes


@keras.saving.register_keras_serializable(package="vae")
class VAE(ImageModel):
    """A variational autoencoder: `compile`, `fit`, `evaluate`, `predict` and `save` as any Keras model.

    Minimises the mean over images of reconstruction + beta * KL (Kingma & Welling 2014, arXiv
    1312.6114, equation 10; beta: Higgins et al. 2017). Training and `evaluate` decode a sample z,
    as the loss demands; `predict` and `reconstruct` decode z_mean and are deterministic.

    Images are (n, pixels), (n, height, width) or (n, height, width, channels), either uint8 (divided
    by 255 on the way in) or floats in [0, 1]. There are no labels and no targets: `fit(x)` and
    `fit(x, x)` mean the same. What methods raise about images is said in `ImageModel`.

    Args:
        encoder: A functional `keras.Model` with the outputs [z_mean, z_log_sigma, z], each (batch,
            latent_dim); z_log_sigma is the logarithm of sigma, not of sigma^2.
        decoder: A `keras.Model` from (batch, latent_dim) to the encoder's input shape.
        beta: Weight of the KL term, 0 or more. May be set at any time, also by a callback.
        reconstruction: The other term: "mse", the squared error summed over pixels
            (`reconstruction_loss`); "bernoulli", the binary cross-entropy (`bernoulli_loss`); "gaussian",
            of which one sigma of all pixels is learned, so that beta = 1 needs no second guess (Rybkin et
            al. 2021, arXiv 2006.13202): it fits the images better than "mse", but draws worse ones; or a
            function of (x, reconstruction) that returns (batch,), registered with Keras if the model is to
            be saved.
        **kwargs: `name` and the like, as for any Keras model.

    Raises:
        TypeError: `encoder` or `decoder` is no Keras model.
        ValueError: The two do not fit together, `beta` is negative or not finite, or
            `reconstruction` is none of the four.

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
        reconstruction: str | Callable[..., Tensor] = "mse",
        **kwargs: Any,
    ) -> None:
        check_networks(encoder, decoder, ("z_mean", "z_log_sigma", "z"))
        without_draw = keras.Model(encoder.input, encoder.outputs[:2], name="Mean-Encoder-Model")
        kwargs = {"name": "VAE-Model", **kwargs}
        # What `encode` and `call` run is the encoder without its draw.
        super().__init__(encoder, decoder, reconstruction, code_network=without_draw, **kwargs)
        self._beta = keras.Variable(
            check_non_negative("beta", beta), trainable=False, dtype="float32", name="beta"
        )

    @property
    def beta(self) -> float:
        """Weight of the KL term; compiled steps read it from a variable, so it may change in mid-run."""
        # The variable is float32, which holds 0.1 as 0.10000000149; the shortest decimal that it would hold
        # in the same way is the number that was given.
        return float(str(np.float32(keras.ops.convert_to_numpy(self._beta.value))))

    @beta.setter
    def beta(self, value: float) -> None:
        self._beta.assign(check_non_negative("beta", value))

    def call(self, x: Tensor) -> Tensor:
        """Return decode(z_mean), in the decoder's output shape."""
        z_mean, _ = self.codes_of_batch(x)  # twice (batch, latent_dim)
        return self.decoder(z_mean)  # (batch, *image_shape)

    def loss_terms(
        self, x: Tensor, training: bool = False, epsilon: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return reconstruction loss and KL divergence of each image.

        `epsilon` is noise to take in place of a draw, as `losses_per_image(x, epsilon)` asks; a subclass
        that leaves it out can only not be asked so.
        """
        z_mean, z_log_sigma, z = self.encoder(x, training=training)  # three times (batch, latent_dim)
        if epsilon is not None:
            z = reparameterize(z_mean, z_log_sigma, keras.ops.cast(epsilon, z.dtype))  # (batch, latent_dim)
        reconstruction = self.decoder(z, training=training)  # (batch, *image_shape), as x
        return vae_loss_terms(x, reconstruction, z_mean, z_log_sigma, self.reconstruction_loss)

    def term_weights(self) -> Mapping[str, Tensor]:
        """Return beta as the weight of the KL divergence; the reconstruction loss counts once."""
        return {"kl_loss": self._beta.value}

    def encode(self, x: Images) -> tuple[np.ndarray, np.ndarray]:
        """Return (z_mean, z_log_sigma) of images: deterministic, nothing is sampled.

        Args:
            x: n images, as the class describes.

        Returns:
            Two float32 arrays of shape (n, latent_dim); sigma = exp(z_log_sigma).

        Example:
            >>> import numpy as np, vae
            >>> model = vae.VAE(vae.build_encoder(), vae.build_decoder())
            >>> z_mean, z_log_sigma = model.encode(np.zeros((3, 784)))
            >>> z_mean.shape, z_log_sigma.shape
            ((3, 2), (3, 2))
        """
        z_mean, z_log_sigma = self.codes_of_images(x)  # twice (n, latent_dim)
        return z_mean, z_log_sigma

    def losses_per_image(self, x: Images, epsilon: Any = None) -> tuple[np.ndarray, ...]:
        """Return the two terms of the loss for each image: (reconstruction, kl), in nats.

        Args:
            x: n images, as the class describes.
            epsilon: Shape (n, latent_dim): the noise to use, which makes the result deterministic.
                None draws it.

        Returns:
            Two float32 arrays of shape (n,).

        Raises:
            ValueError: `epsilon` of a wrong shape or not finite.

        Example:
            >>> import numpy as np, vae
            >>> model = vae.VAE(vae.build_encoder(), vae.build_decoder())
            >>> reconstruction, kl = model.losses_per_image(np.zeros((3, 784)), epsilon=np.zeros((3, 2)))
            >>> reconstruction.shape, kl.shape
            ((3,), (3,))
        """
        x = self.shape_images("x", x)
        if epsilon is None:
            return self.terms_of(x)
        return self.terms_of(x, epsilon=check_noise("epsilon", epsilon, len(x), self.decoder.input_shape[-1]))

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
        n, latent_dim = check_positive_int("n", n), self.decoder.input_shape[-1]
        images = check_out("out", out, (n, *self.decoder.output_shape[1:]))
        noise = noise_generator("seed", seed)
        for start in range(0, n, GENERATED_AT_A_TIME):
            rows = slice(start, min(start + GENERATED_AT_A_TIME, n))
            z = keras.random.normal((rows.stop - start, latent_dim), seed=noise)  # (rows, latent_dim)
            block = self.decode(keras.ops.convert_to_numpy(z))  # (rows, *image_shape)
            images[rows] = to_uint8(block) if images.dtype == np.uint8 else block
        return images

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs: what `ImageModel` has, and beta."""
        return {**super().get_config(), "beta": self.beta}
