"""PyTorch tensors in, PyTorch tensors out."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

import zor
from zor import Layer, Zor

pytestmark = pytest.mark.packages


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_kind_and_type_are_kept(dtype):
    dtype = getattr(torch, dtype)
    x = torch.rand(16, 8).to(dtype)
    snn = Zor([Layer(8), Layer(4), Layer(8)])
    errors = snn.train_batch(x, x)
    assert isinstance(errors, torch.Tensor) and errors.dtype == dtype
    assert snn.predict(x).dtype == dtype
    assert 0 < 1.0 - torch.mean(torch.abs(errors)).item() < 1


def test_numbers_are_those_of_numpy():
    x = torch.rand(16, 8)
    one, other = Zor([8, 4, 8]), Zor([8, 4, 8])
    for _ in range(3):
        errors = one.train_batch(x, x)
        assert (errors.numpy() == other.train_batch(x.numpy(), x.numpy())).all()


def test_views_and_gradients():
    x = torch.rand(8, 16)
    wide = torch.rand(16, 16)
    expected = Zor([8, 4, 8]).train_batch(x.T.contiguous())
    assert torch.equal(Zor([8, 4, 8]).train_batch(x.T), expected)
    assert torch.equal(Zor([8, 4, 8]).train_batch(x.T.clone().requires_grad_()), expected)
    Zor([8, 4, 8]).train_batch(wide[:, ::2])
    assert Zor([8, 4, 8]).train_batch(torch.ones(4, 8, dtype=torch.uint8)).dtype == torch.float32


def test_sparse_meta_and_complex_tensors():
    snn = Zor([8, 4, 8])
    snn.predict(torch.eye(8).to_sparse())
    with pytest.raises(TypeError, match="complex"):
        snn.predict(torch.ones(4, 8, dtype=torch.complex64))
    with pytest.raises(Exception, match="meta"):
        snn.predict(torch.ones(4, 8, device="meta"))


def test_activation_function_of_torch():
    x = torch.rand(16, 8)
    snn = Zor([8, Layer(4, activation=torch.tanh), 8])
    named = Zor([8, Layer(4, activation="tanh"), 8])
    assert torch.allclose(snn.train_batch(x), named.train_batch(x), atol=1e-5)


def test_classes_as_tensor():
    x, y = torch.rand(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    network = zor.Network(4, [zor.layers.Dense(3)])
    expected = zor.Network(4, [zor.layers.Dense(3)]).train_batch(x.numpy(), y.numpy())
    assert network.train_batch(x, y) == expected
