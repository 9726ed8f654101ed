"""Variational autoencoders in Keras: the lesson, and the small library it is written with.

The public names stand in ``__init__.pyi`` beside this file. Each loads on first use,
so ``import vae`` itself loads neither Keras nor the plotting libraries.
"""

import lazy_loader

from vae._registration import register_when_keras_is_there

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

register_when_keras_is_there()
del register_when_keras_is_there
