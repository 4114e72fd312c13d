"""Sequences of tokens, and the layers that read them."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import zor
from zor import layers as L

TOKENS = 6


def network(**settings):
    """A language model: attention and a feed-forward layer between tied embeddings."""
    attention = [L.RmsNorm(), L.Dense(24), L.SpikeAttention(2), L.RmsNorm(), L.Dense(8)]
    stack = [L.Residual(attention), L.Residual([L.Dense(16), L.Gate(), L.Dense(8)]), L.RmsNorm()]
    embedding = L.TiedEmbedding(TOKENS, 8, stack, **settings)
    return zor.Network(1, [embedding], rule="backprop", seed=1)


def test_the_next_token_is_learned():
    sequences = zor.Sequences([[0, 1, 2, 3], [3, 4, 5]])
    targets = [1, 2, 3, 4, 4, 5, 0]
    one = network()
    for _ in range(100):
        one.train_batch(sequences, targets, zor.AdamW(0.02))
    outputs = one.predict(sequences)
    assert outputs.shape == (7, TOKENS) and outputs.argmax(axis=1).tolist() == targets
    assert one.evaluate(sequences, targets).mae < 0.05
    assert min(one.cosine_to_backprop(sequences, targets)) > 0.99


def test_positions_see_their_sequence_alone():
    one = network()
    together = one.predict(zor.Sequences([[0, 1, 2], [3, 4]]))
    apart = [one.predict(zor.Sequences([tokens])) for tokens in ([0, 1, 2], [3, 4])]
    assert np.allclose(together, np.concatenate(apart), atol=1e-5)
    later = one.predict(zor.Sequences([[0, 1, 5], [3, 4]]))
    changed = np.abs(together - later).max(axis=1) > 1e-6
    assert changed.tolist() == [False, False, True, False, False]
    prefixed = one.predict(zor.Sequences([[0, 1, 5], [3, 4]], prefixes=[3, 0]))
    assert np.abs(prefixed[0] - later[0]).max() > 1e-6


def test_rows_of_an_array_are_one_sequence():
    one = network()
    tokens = np.array([0, 1, 2, 3])
    found = one.predict(tokens[:, None])
    assert np.allclose(found, one.predict(zor.Sequences([tokens])), atol=1e-6)


def test_long_arrays_stay_one_sequence():
    """The rows of other networks are predicted in blocks."""
    stack = [L.Dense(6), L.SpikeAttention(1, rotation_base=None, longest=8192), L.Dense(1 << 12)]
    one = zor.Network(2, stack, rule="backprop")
    x = np.random.default_rng(0).random((1500, 2), dtype=np.float32)
    assert (one.predict(x) == one.training_forward(x)).all()


def test_what_follows_in_the_prefix_is_an_output(tmp_path):
    one = network(copies=L.Copying(4))
    random = np.random.default_rng(0)
    for _ in range(150):
        tokens = random.integers(0, TOKENS, (16, 1))
        sequences = zor.Sequences(np.hstack([tokens * 0, tokens, tokens * 0]), prefixes=[2] * 16)
        one.train_batch(sequences, tokens[:, 0], zor.AdamW(0.02))
    sequences = zor.Sequences([[0, 5, 0], [0, 2, 0]], prefixes=[2, 2])
    outputs = one.predict(sequences)
    assert outputs.argmax(axis=1).tolist() == [5, 2]
    one.save(tmp_path / "network.zor")
    assert (zor.Network.load(tmp_path / "network.zor").predict(sequences) == outputs).all()
    [record] = one.layer_records()
    assert record["config"]["skip_prefix"] and record["config"]["copies"]["size"] == 4


def test_embeddings_are_a_layer():
    one = zor.Network(1, [L.Embedding(TOKENS, 4), L.Dense(3)], rule="backprop")
    assert one.predict(zor.Sequences([[0, 5], [5]])).shape == (3, 3)


def test_what_sequences_have():
    sequences = zor.Sequences(np.array([[1, 2], [3, 4]], dtype=np.uint8), prefixes=[0, 1])
    assert len(sequences) == 2 and sequences.lengths == (2, 2) and sequences.prefixes == (0, 1)
    other = pickle.loads(pickle.dumps(sequences))
    assert [one.tolist() for one in other] == [[1, 2], [3, 4]] and other.prefixes == (0, 1)
    assert zor.Sequences([[1]]).prefixes == (0,)


@pytest.mark.parametrize(
    ("tokens", "prefixes", "error", "message"),
    [
        ([], None, zor.Error, "0 sequences"),
        ([[1], []], None, zor.Error, "sequence 1 has no tokens"),
        ([1, 2], None, zor.Error, r"sequence 0 has shape \[\]"),
        ([[1], [0.5]], None, TypeError, "sequence 1 has dtype float64"),
        ([["a"]], None, TypeError, "sequence 0 has dtype"),
        ([[1], [2, -3]], None, zor.Error, "position 2 has token -3"),
        ([[1 << 40]], None, zor.Error, "position 0 has token 1099511627776"),
        ([[1 << 30]], None, zor.Error, "too large"),
        ([[1, 2]], [3], zor.Error, "prefix of sequence 0 has 3 positions"),
        ([[1, 2]], [-1], zor.Error, "-1 positions"),
        ([[1, 2]], [1, 1], zor.Error, "2 prefixes are given for 1 sequences"),
    ],
)
def test_sequences_that_cannot_be(tokens, prefixes, error, message):
    with pytest.raises(error, match=message):
        zor.Sequences(tokens, prefixes)


def test_wrong_uses():
    one, sequences = network(), zor.Sequences([[0, 1], [2]])
    for use, error, message in [
        (lambda: one.train_batch(sequences), zor.Error, "need a target"),
        (lambda: one.train_batch(sequences, [1, 2]), zor.Error, "2 classes for a batch of 3"),
        (lambda: one.train_batch(sequences, [1, 2, TOKENS]), zor.Error, "row 2 has class 6"),
        (lambda: one.predict(zor.Sequences([[TOKENS]])), zor.Error, "token 6"),
        (lambda: one.predict(zor.Sequences([[0] * 2000])), zor.Error, "2000 positions"),
        (lambda: one.predict([[0.5]]), zor.Error, "0.5"),
        (lambda: one.fit(sequences, [1, 2, 3]), TypeError, "not an array"),
        (lambda: one.train_batch([[0.0]], sequences), TypeError, "not an array"),
        (lambda: zor.Network.dense([2, 2]).predict(sequences), zor.Error, "2"),
        (lambda: network(copies=4), TypeError, "zor.layers.Copying, not int"),
        (lambda: network(copies=L.Copying(3)), zor.Error, "even"),
        (lambda: zor.Network(9, [L.SpikeAttention(2)]), zor.Error, "9 inputs"),
        (lambda: zor.Network(9, [L.RmsNorm(0.0)]), zor.Error, "epsilon"),
        (lambda: zor.Network(2, [L.TiedEmbedding(4, 4)]), zor.Error, "one token a row"),
        (lambda: zor.Network(1, [L.TiedEmbedding(4, 4, ["dense"])]), TypeError, "zor.layers"),
    ]:
        with pytest.raises(error, match=message):
            use()
