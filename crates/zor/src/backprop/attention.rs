//! Layers for sequences in burn's differentiable operations, sequence by sequence.

use zor_core::burn::tensor::{Device, Tensor, TensorData};
use zor_core::ops::Turns;
use zor_core::{CopyOperation, Sequences};

/// Embeddings of tokens, times the root of their width.
pub(super) fn embedded(tokens: impl Iterator<Item = usize>, embedding: Tensor<2>) -> Tensor<2> {
    let ([vocabulary, width], device) = (embedding.dims(), embedding.device());
    one_hot(tokens, vocabulary, &device).matmul(embedding) * (width as f32).sqrt()
}

/// [`embedded`] tokens of sequences, plus the row of their part.
pub(super) fn embedded_in_parts(
    all: &Sequences,
    embedding: Tensor<2>,
    parts: Tensor<2>,
) -> Tensor<2> {
    let device = embedding.device();
    let own = embedded(all.tokens().iter().map(|token| *token as usize), embedding);
    let part = |index: usize| {
        let (length, prefix) = (all.rows(index).len(), all.prefix(index));
        (0..length).map(move |position| usize::from(position >= prefix))
    };
    own + one_hot((0..all.len()).flat_map(part), 2, &device).matmul(parts)
}

/// Rows behind the prefixes.
pub(super) fn behind(all: &Sequences, rows: &Tensor<2>) -> Tensor<2> {
    let columns = rows.dims()[1];
    let parts = (0..all.len()).filter_map(|index| {
        let range = all.rows(index);
        let behind = range.start + all.prefix(index)..range.end;
        (!behind.is_empty()).then(|| rows.clone().slice([behind, 0..columns]))
    });
    Tensor::cat(parts.collect(), 0)
}

/// Spike attention. The gates are constants of the graph.
pub(super) fn attend(
    input: Tensor<2>,
    all: &Sequences,
    heads: usize,
    threshold: f32,
    turns: Option<&Turns>,
) -> Tensor<2> {
    let width = input.dims()[1] / 3;
    let size = width / heads;
    let rows = input.dims()[0];
    let turned = rotated(input.clone().slice([0..rows, 0..2 * width]), all, size, turns);
    let values = input.slice([0..rows, 2 * width..3 * width]);
    let of_sequence = |index: usize| {
        let range = all.rows(index);
        let length = range.len();
        let visible = (0..length * length)
            .map(|at| f32::from(u8::from(at % length < all.visible(index, at / length))));
        let data = TensorData::new(visible.collect::<Vec<f32>>(), [length, length]);
        let visible = Tensor::<2>::from_data(data, &turned.device().inner());
        let head = |head: usize| {
            let part = |from: &Tensor<2>, first: usize| {
                from.clone().slice([range.clone(), first..first + size])
            };
            let scores = part(&turned, head * size)
                .matmul(part(&turned, width + head * size).transpose())
                * (1.0 / (size as f32).sqrt());
            let fired = scores.clone().inner().greater_elem(threshold).float() * visible.clone();
            (scores * fired.autodiff()).matmul(part(&values, head * size))
        };
        Tensor::cat((0..heads).map(head).collect(), 1)
    };
    Tensor::cat((0..all.len()).map(of_sequence).collect(), 0)
}

/// Outputs of copied tokens, for the rows behind the prefixes.
pub(super) fn copied(
    projected: Tensor<2>,
    all: &Sequences,
    copying: &CopyOperation<'_>,
    vocabulary: usize,
) -> Tensor<2> {
    let size = copying.size;
    let heads = 1 + usize::from(copying.has_suggestions);
    let turned = rotated(projected, all, size, copying.turns);
    let device = turned.device().inner();
    let of_sequence = |index: usize| {
        let range = all.rows(index);
        let (prefix, middle) = (all.prefix(index), range.start + all.prefix(index));
        let behind = range.end - middle;
        if behind == 0 {
            return None;
        }
        let zeros = Tensor::<2>::zeros([behind, vocabulary], &device).autodiff();
        if prefix == 0 {
            return Some(zeros);
        }
        let head = |sum: Tensor<2>, head: usize| {
            let part = |rows: std::ops::Range<usize>, first: usize| {
                turned.clone().slice([rows, first..first + size])
            };
            let queries = part(middle..range.end, head * size);
            let keys = part(range.start..middle, (heads + head) * size);
            let scores = queries.matmul(keys.transpose()) * (1.0 / (size as f32).sqrt());
            let fired = scores.clone().inner().greater_elem(0.0).float().autodiff();
            let mut tokens = vec![0f32; prefix * vocabulary];
            for (to, row) in tokens.chunks_exact_mut(vocabulary).zip(range.start..middle) {
                match head {
                    // The token that follows.
                    0 => to[all.tokens()[row + 1] as usize] = 1.0,
                    _ => {
                        let (suggested, weights) = all.suggestions(row);
                        let both = suggested.iter().zip(weights);
                        both.for_each(|(token, weight)| to[*token as usize] += weight);
                    }
                }
            }
            let data = TensorData::new(tokens, [prefix, vocabulary]);
            let tokens = Tensor::<2>::from_data(data, &device).autodiff();
            sum + (scores * fired).matmul(tokens)
        };
        Some((0..heads).fold(zeros, head))
    };
    Tensor::cat((0..all.len()).filter_map(of_sequence).collect(), 0)
}

/// Rotates pairs of columns by the place of a row.
fn rotated(rows: Tensor<2>, all: &Sequences, size: usize, turns: Option<&Turns>) -> Tensor<2> {
    let Some(turns) = turns else { return rows };
    let ([n, columns], pairs) = (rows.dims(), size / 2);
    let (mut cosines, mut sines) = (Vec::new(), Vec::new());
    for index in 0..all.len() {
        for position in 0..all.rows(index).len() {
            let place = all.place(index, position);
            let turns = &turns[place * pairs..(place + 1) * pairs];
            for _ in 0..columns / size {
                for (cosine, sine) in turns {
                    cosines.extend([*cosine; 2]);
                    sines.extend([-sine, *sine]);
                }
            }
        }
    }
    let device = rows.device().inner();
    let [cosines, sines] = [cosines, sines].map(|values| {
        Tensor::<2>::from_data(TensorData::new(values, [n, columns]), &device).autodiff()
    });
    let swapped = rows.clone().reshape([n * columns / 2, 2]).flip([1]).reshape([n, columns]);
    rows * cosines + swapped * sines
}

/// A one in the column of each index.
fn one_hot(indices: impl Iterator<Item = usize>, columns: usize, device: &Device) -> Tensor<2> {
    let indices: Vec<usize> = indices.collect();
    let mut values = vec![0f32; indices.len() * columns];
    for (row, index) in values.chunks_exact_mut(columns).zip(&indices) {
        row[*index] = 1.0;
    }
    let data = TensorData::new(values, [indices.len(), columns]);
    Tensor::<2>::from_data(data, &device.clone().inner()).autodiff()
}

#[cfg(all(test, feature = "flex"))]
#[allow(clippy::unwrap_used, reason = "an unwrap in a test is an assertion")]
mod tests {
    use zor_core::burn::tensor::{Device, Tensor};
    use zor_core::{
        BranchConfig, CopyingConfig, DenseConfig, DropoutConfig, EmbeddingConfig, GateConfig,
        Input, LayerConfig, Network, RmsNormConfig, Rule, Sequences, SequentialConfig,
        SpikeAttentionConfig, TiedEmbeddingConfig,
    };

    use crate::backprop::alignment::updates;
    use crate::backprop::autodiff::parameter_gradients;

    fn sequences() -> Sequences {
        let tokens = (0..19).map(|position| position * 7 % 11).collect();
        let all = Sequences::new(tokens, &[5, 3, 11]).unwrap().with_prefixes(&[2, 0, 6]).unwrap();
        let suggested = (0..38).map(|index| index * 5 % 11).collect();
        let weights = (0..38).map(|index| 0.1 * (index % 7) as f32).collect();
        all.with_suggestions((0..20).map(|row| 2 * row).collect(), suggested, weights).unwrap()
    }

    /// Checks that the updates of the rule are the gradients of autodiff.
    fn coincide(config: impl LayerConfig + 'static, input: impl Into<Input>, classes: Vec<usize>) {
        let input = input.into();
        let device = Device::flex();
        let builder = Network::builder(&[1]).rule(Rule::backprop()).seed(2);
        let network = builder.layer(config).build(&device).unwrap();
        let gradients = parameter_gradients(&network, input.clone(), classes.clone()).unwrap();
        let updates = updates(&network, input, classes).unwrap();
        assert!(updates.len() > 2);
        for (update, gradient) in updates.into_iter().zip(gradients) {
            let (update, gradient) = (update.unwrap(), gradient.unwrap().neg());
            let size = |tensor: Tensor<2>| {
                let square = (tensor.clone() * tensor).sum().into_data().iter::<f64>().sum::<f64>();
                square.sqrt()
            };
            let apart = size(update.clone() - gradient.clone());
            assert!(apart < 1e-4 * size(gradient) + 1e-6, "{apart}: {:?}", update.dims());
        }
    }

    #[test]
    fn updates_of_layers_for_sequences_are_gradients() {
        let block = |threshold| {
            BranchConfig::residual()
                .layer(RmsNormConfig::default())
                .layer(DenseConfig::new(36))
                .layer(SpikeAttentionConfig { threshold, ..SpikeAttentionConfig::new(2) })
                .layer(RmsNormConfig::default())
                .layer(DenseConfig::new(12))
                .layer(GateConfig::default())
                .layer(DropoutConfig::new(0.0))
        };
        let plain = TiedEmbeddingConfig::new(11, 12).layer(block(0.1));
        let classes: Vec<usize> = (0..19).map(|row| row % 11).collect();
        coincide(plain.layer(RmsNormConfig::default()), sequences(), classes.clone());
        let untied = || SequentialConfig::new().layer(EmbeddingConfig::new(11, 12));
        coincide(untied().layer(block(0.1)).layer(DenseConfig::new(11)), sequences(), classes);
        let column = [[3.0], [0.0], [3.0], [10.0]];
        let values = Tensor::<2>::from_floats(column, &Device::flex());
        let dense = untied().layer(DenseConfig::new(5)).layer(DenseConfig::new(4));
        coincide(dense, values, vec![0, 1, 2, 3]);
        let copies = CopyingConfig::new(4).with_suggestions();
        let copying = TiedEmbeddingConfig::new(11, 12).copies(copies).layer(block(0.0));
        let copying = copying.layer(block(0.0)).layer(RmsNormConfig::default());
        coincide(copying, sequences(), (0..11).map(|row| row * 3 % 11).collect());
    }

    #[test]
    fn tokens_that_the_vocabulary_lacks_are_named() {
        let builder = Network::builder(&[1]).layer(EmbeddingConfig::new(10, 4));
        let network = builder.build(&Device::flex()).unwrap();
        let value = Tensor::<2>::from_floats([[10.0]], &Device::flex());
        let sequence = Sequences::new(vec![10], &[1]).unwrap();
        for input in [Input::from(value), sequence.into()] {
            let error = parameter_gradients(&network, input, vec![0]).unwrap_err().to_string();
            assert!(error.contains("token 10; the vocabulary has tokens 0 to 9"), "{error}");
        }
    }
}
