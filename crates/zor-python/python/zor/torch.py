"""Exchange with PyTorch: networks as modules, and weights in PyTorch's layouts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

try:
    import torch
    from torch import nn
except ImportError as error:
    raise ImportError("zor.torch needs PyTorch: pip install torch", name="torch") from error

from . import _torch_layers as own
from ._arrays import FloatArray
from ._error import Error
from .network import Network

__all__ = ["load_state_dict", "state_dict", "to_sequential"]


def to_sequential(network: Network) -> nn.Sequential:
    """Returns a model of PyTorch that computes what `network.predict` computes.

    It takes `[batch, features]` or `[batch, *input_shape]` and returns `[batch, outputs]`, all with
    channels last, as the network does. It is on the CPU, and in evaluation mode.

    A layer's module is named by its position, as are its weights: `1.weight`. In front of or behind
    it may be modules with a name of their own, such as `1_pool`. Gates have the gradient of their
    forward pass: zero where they do not fire. Output gates pass all values, in training too.

    Raises:
        zor.Error: a gate has an activation function in Python, or a layer is not one of
            `zor.layers`. The message names the layer.

    Example:
        >>> import zor
        >>> model = zor.torch.to_sequential(zor.Network.dense([784, 64, 784]))
        >>> model(torch.rand(7, 784)).shape
        torch.Size([7, 784])
    """
    model, names = _model(network)
    model.load_state_dict(_tensors(network, model, names), assign=True)
    return model.eval()


def state_dict(network: Network) -> dict[str, torch.Tensor]:
    """Returns the `state_dict` of the model that `to_sequential` returns, as copies.

    A dense layer's weight is `[units, inputs]`; a convolution's is
    `[channels, inputs / groups, height, width]`, or `[inputs, channels / groups, height, width]` if
    it is transposed.

    Raises:
        zor.Error: as `to_sequential`.
    """
    return _tensors(network, *_model(network))


def load_state_dict(network: Network, state_dict: Mapping[str, torch.Tensor]) -> None:
    """Replaces all weights and running means by those of a `state_dict`.

    The state of the optimizer is cleared. Values may be of any floating-point type, on any device.
    `num_batches_tracked` of batch norms is not read and may be missing.

    Args:
        network: the network; unchanged if an error is raised.
        state_dict: tensors with the names and shapes of `zor.torch.state_dict`.

    Raises:
        zor.Error: keys are missing or unexpected, or values have another shape, NaN or infinity.
            The message names them all.
    """
    model, names = _model(network)
    known = {key: list(value.shape) for key, value in model.state_dict().items()}
    wrong = [f"{key} is missing" for key in names if key not in state_dict]
    wrong += [f"{key} is unexpected" for key in state_dict if key not in known]
    values = {}
    for key, name in names.items():
        if key not in state_dict:
            continue
        value = torch.as_tensor(state_dict[key]).detach().to("cpu", torch.float32)
        if list(value.shape) != known[key]:
            wrong.append(f"{key} has shape {list(value.shape)} instead of {known[key]}")
        elif not bool(value.isfinite().all()):
            wrong.append(f"{key} has NaN or infinity")
        else:
            values[name] = _to_zor(value.numpy())
    if wrong:
        raise Error(
            f"the state_dict does not fit, and the network is unchanged: {'; '.join(wrong)}"
        )
    network.set_weights(values)


def _tensors(
    network: Network, model: nn.Sequential, names: Mapping[str, str]
) -> dict[str, torch.Tensor]:
    """Returns values for all keys of a model."""
    weights = network.weights()
    found: dict[str, torch.Tensor] = {}
    for key, empty in model.state_dict().items():
        if key in names:
            found[key] = torch.from_numpy(_to_torch(weights[names[key]], tuple(empty.shape)))
        else:
            found[key] = torch.zeros(empty.shape, dtype=empty.dtype)
    return found


def _to_torch(value: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Returns a matrix of Zor in the layout of PyTorch, where a kernel's window comes last."""
    if len(shape) == 4:
        outer, inner, height, width = shape
        value = value.reshape(height, width, inner, outer).transpose(3, 2, 0, 1)
    elif len(shape) == 2:
        value = value.T
    return np.array(value.reshape(shape), order="C")


def _to_zor(value: FloatArray) -> FloatArray:
    """Returns the inverse of `_to_torch`."""
    if value.ndim == 4:
        value = value.transpose(2, 3, 1, 0).reshape(-1, value.shape[0])
    elif value.ndim == 2:
        value = value.T
    else:
        value = value.reshape(1, -1)
    return np.ascontiguousarray(value)


def _model(network: Network) -> tuple[nn.Sequential, dict[str, str]]:
    """Returns a model without memory for its values, and the network's name for each key."""
    builder = own.Builder()
    shape = network.input_shape
    with torch.device("meta"):
        modules, shape = builder.chain(network.layer_records(), shape, "", "", 0, "")
        if len(network.input_shape) > 1:
            modules = {"input": own.ChannelsFirst(network.input_shape), **modules}
        if len(shape) > 1:
            modules["output"] = own.Rows()
        return own.sequential(modules), builder.names
