"""Derivatives, the one thing that Keras leaves to each of its backends."""

import keras


def value_and_gradients(function, variables):
    """Return function(), one number, and its derivatives by each of the variables."""
    match keras.backend.backend():
        case "tensorflow":
            import tensorflow as tf

            with tf.GradientTape() as tape:
                value = function()
            return value, tape.gradient(value, [variable.value for variable in variables])
        case "jax":
            import jax

            def of_values(values):
                with keras.StatelessScope(state_mapping=zip(variables, values, strict=True)):
                    return function()

            return jax.value_and_grad(of_values)([variable.value for variable in variables])
        case "torch":
            import torch

            value = function()
            return value, torch.autograd.grad(value, [variable.value for variable in variables])
