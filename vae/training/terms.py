"""The terms of a loss: which there are, found without computing anything; and one that learns."""

import math
import warnings
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from vae._checks import warn_user
from vae._keras import Tensor, keras, origin
from vae.losses import RECONSTRUCTION_LOSSES, reconstruction_loss


class CalibratedGaussian(keras.layers.Layer):
    """-log N(x; reconstruction, sigma^2) of each image, (batch,), with one sigma for all pixels, learned.

    Rybkin et al. 2021 (arXiv 2006.13202), section 3. A density in nats, all constants in it; so it may be
    below 0. sigma starts at sqrt(1/2), where this is the squared error and (D/2) log(pi) for D pixels.
    """

    def __init__(self) -> None:
        # In the full float type also where the networks have less: a sum over pixels would overflow.
        super().__init__(name="Pixel-Gaussian", dtype=keras.config.floatx(), autocast=False)
        start = keras.initializers.Constant(-0.5 * math.log(2))
        self.log_sigma = self.add_weight(shape=(), initializer=start, name="log_sigma")

    @property
    def sigma(self) -> float:
        """The standard deviation of a pixel, where black is 0 and white 1."""
        return float(keras.ops.convert_to_numpy(keras.ops.exp(self.log_sigma.value)))

    def call(self, x: Tensor, reconstruction: Tensor) -> Tensor:
        """Return one number an image."""
        squared_error = reconstruction_loss(x, reconstruction)  # (batch,)
        pixels = math.prod(x.shape[1:])
        constant = pixels * (self.log_sigma + 0.5 * math.log(2 * math.pi))
        return 0.5 * squared_error * keras.ops.exp(-2 * self.log_sigma) + constant  # (batch,)


LEARNED_LOSSES = {"gaussian": CalibratedGaussian}


class _Traced(keras.Operation):
    """A function as an operation of Keras, which can tell what it would return."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def call(self, *args: Any) -> Any:
        return self.function(*args)


def _trace(function: Callable[..., Any], *shapes: Any) -> Any:
    """Return what a function of tensors of these shapes would return, as symbolic tensors."""
    return _Traced(function).compute_output_spec(*(keras.KerasTensor(shape, "float32") for shape in shapes))


def term_names(model: Any) -> list[str]:
    """Return the names of a model's terms.

    Raises:
        ValueError: `loss_terms` returns something else than one number an image for each name.
    """
    names: list[str] = []

    def loss_terms(x: Tensor) -> Any:
        terms = model.loss_terms(x)
        names.extend(terms if isinstance(terms, dict) else ())  # in their own order; JAX gives them sorted
        return terms

    terms = _trace(loss_terms, model.encoder.input_shape)
    if not isinstance(terms, dict) or not all(_is_one_an_image(term) for term in terms.values()):
        raise ValueError(f"loss_terms must return a dictionary of tensors of shape (batch,); got {terms}.")
    return list(dict.fromkeys(names))


def reconstruction_term(reconstruction: Any, image_shape: Any) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the function of (x, reconstruction) that a name or a function stands for.

    Raises:
        ValueError: It is neither, or a function that does not return one number an image.
    """
    if isinstance(reconstruction, str) and reconstruction in RECONSTRUCTION_LOSSES:
        return RECONSTRUCTION_LOSSES[reconstruction]
    if isinstance(reconstruction, str) and reconstruction in LEARNED_LOSSES:
        return LEARNED_LOSSES[reconstruction]()
    names = ", ".join(map(repr, (*RECONSTRUCTION_LOSSES, *LEARNED_LOSSES)))
    wanted = f"reconstruction must be {names} or a function of (x, reconstruction) that returns (batch,)"
    if not callable(reconstruction):
        raise ValueError(f"{wanted}; got {reconstruction!r}.")
    try:
        result = _trace(reconstruction, image_shape, image_shape)
    except Exception as error:  # whatever the function raises
        reason = str(error).strip().rpartition("\n")[2]  # behind what Keras says of it
        raise ValueError(f"{wanted}; got one that fails: {reason:.200}") from error
    if not _is_one_an_image(result):
        raise ValueError(f"{wanted}; got one that returns {getattr(result, 'shape', result)}.")
    return reconstruction


# Cross-entropy takes what the decoder gives for probabilities

_UNIT_RANGE = {"sigmoid", "hard_sigmoid", "sparse_sigmoid", "softmax", "sparsemax"}
_UNBOUNDED = (keras.layers.LeakyReLU, keras.layers.PReLU, keras.layers.ELU)
_HAND_ON = (
    *(keras.layers.Reshape, keras.layers.Flatten, keras.layers.Permute, keras.layers.Dropout),
    *(keras.layers.Cropping1D, keras.layers.Cropping2D, keras.layers.UpSampling2D),
)
LOADING: ContextVar[bool] = ContextVar("LOADING", default=False)


def check_probabilities(decoder: keras.Model) -> None:
    """Raise a ValueError where a decoder ends in an activation of Keras that leaves [0, 1].

    What cannot be told passes. A model that was saved before this was checked is warned of.
    """
    layer, activation = _last_activation(decoder.outputs[0])
    if activation is None:
        return
    message = (
        'decoder must give probabilities for reconstruction="bernoulli", as output_activation="sigmoid" '
        f"does; its layer {layer!r} has the activation {activation!r}."
    )
    if not LOADING.get():
        raise ValueError(message)
    warn_user(message)


def _last_activation(tensor: Any) -> tuple[str, str | None]:
    """Return the name of the layer that makes a tensor, and of its activation if that leaves [0, 1]."""
    layer, index, inputs = origin(tensor)
    if isinstance(layer, keras.Model) and layer.outputs:
        return _last_activation(layer.outputs[index])
    if isinstance(layer, _HAND_ON):
        return _last_activation(inputs[0])
    if isinstance(layer, _UNBOUNDED) or (
        isinstance(layer, keras.layers.ReLU) and not (layer.max_value or 2) <= 1
    ):
        return layer.name, type(layer).__name__
    function = getattr(layer, "activation", None)
    name = getattr(function, "__name__", "")
    leaves = function is not None and getattr(keras.activations, name, None) is function
    return getattr(layer, "name", ""), name if leaves and name not in _UNIT_RANGE else None


def _is_one_an_image(term: Any) -> bool:
    return isinstance(term, keras.KerasTensor) and len(term.shape) == 1


def reconstruction_config(reconstruction: Any) -> Any:
    """Return the term as a configuration holds it.

    Raises:
        ValueError: A function that a loaded model could not find again.
    """
    if isinstance(reconstruction, str):
        return reconstruction
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras warns of lambdas, which are refused below
        try:
            config = keras.saving.serialize_keras_object(reconstruction)
            keras.saving.deserialize_keras_object(config)
        except Exception as error:  # of many kinds
            raise ValueError(
                "reconstruction must be registered before the model is saved, with "
                f"@keras.saving.register_keras_serializable(); {reconstruction!r} is not."
            ) from error
    return config
