//! A first convolution that whitens: its outputs are the principal components of the patches under
//! it, of variance one.
//!
//! With eigenvectors `v` and eigenvalues `l` of the patches' covariance the kernels are
//! `v / sqrt(l)` and their negatives, so that gates keep both halves of each (Jordan 2024, "94% on
//! CIFAR-10 in 3.29 Seconds on a Single GPU", section 3.2).

use nalgebra::{DMatrix, SymmetricEigen};
use zor_core::burn::tensor::{Tensor, TensorData};
use zor_core::{Layer, Network, Operation};
use zor_data::Images;

use crate::error::Result;

/// Images that the covariance is taken of, at most.
const IMAGES: usize = 5000;
/// Added to eigenvalues, for directions in which patches hardly differ.
const FLOOR: f64 = 5e-4;
/// Share of a training's steps in which what is added behind it learns: three epochs of eight
/// (airbench94).
const LEARNING_SHARE: f64 = 3.0 / 8.0;

/// Makes a network whiten, if it begins with a frozen convolution that has room for it; others stay
/// as they are.
///
/// # Errors
/// When the convolution's kernel cannot be replaced.
pub(crate) fn whiten(network: &mut Network, images: &Images) -> Result<()> {
    let device = network.device().clone();
    let Some(layer) = network.layers_mut().first_mut() else {
        return Ok(());
    };
    let Some(window) = window(layer.as_ref()) else {
        return Ok(());
    };
    let Some(kernel) = layer.parameters_mut().into_iter().next() else {
        return Ok(());
    };
    let [inputs, outputs] = kernel.shape();
    let covariance = covariance(&images.first(IMAGES.min(images.len()))?, window);
    if covariance.len() != inputs * inputs || outputs > 2 * inputs {
        return Ok(());
    }
    let components = principal_components(covariance, inputs);
    let mut values = vec![0f32; inputs * outputs];
    for column in 0..outputs {
        let (variance, direction) = &components[column % inputs];
        let sign = if column < inputs { 1.0 } else { -1.0 };
        let scale = sign / (variance + FLOOR).sqrt();
        for (row, value) in direction.iter().enumerate() {
            values[row * outputs + column] = (value * scale) as f32;
        }
    }
    let data = TensorData::new(values, [inputs, outputs]);
    Ok(kernel.set_value(Tensor::from_data(data, &device))?)
}

/// Freezes the shift after a frozen first convolution late in training, so that the signal need not
/// be propagated that far.
pub(crate) fn freeze_shift_after(network: &mut Network, steps: u64, of: u64) {
    if let [first, second, ..] = network.layers_mut()
        && window(first.as_ref()).is_some()
        && matches!(second.operation(), Ok(Operation::BatchNorm { .. }))
    {
        let settled = steps as f64 >= LEARNING_SHARE * of as f64;
        second.parameters_mut().into_iter().skip(1).for_each(|shift| shift.set_frozen(settled));
    }
}

/// Height and width of the window of a frozen convolution.
fn window(layer: &dyn Layer) -> Option<[usize; 2]> {
    match layer.operation().ok()? {
        Operation::Convolution { kernel, window, groups: 1, transposed: false, .. } => {
            kernel.is_frozen().then_some(window.kernel)
        }
        _ => None,
    }
}

/// The covariance of all patches, row by row; values of a patch lie as in its rows of pixels.
fn covariance(images: &Images, [height, width]: [usize; 2]) -> Vec<f64> {
    let shape = images.shape();
    let (line, row) = (width * shape.channels, shape.width * shape.channels);
    let n = height * line;
    let (mut sums, mut squares, mut count) = (vec![0f64; n], vec![0f64; n * n], 0f64);
    let mut patch = vec![0f32; n];
    for index in 0..images.len() {
        let image = images.image(index);
        // Sums of one image are exact enough in f32, and quick.
        let (mut own_sums, mut own_squares) = (vec![0f32; n], vec![0f32; n * n]);
        for y in 0..(shape.height + 1).saturating_sub(height) {
            for x in 0..(shape.width + 1).saturating_sub(width) {
                for (part, values) in patch.chunks_exact_mut(line).enumerate() {
                    let from = (y + part) * row + x * shape.channels;
                    for (to, value) in values.iter_mut().zip(&image[from..]) {
                        *to = f32::from(*value) / 255.0;
                    }
                }
                for (i, value) in patch.iter().enumerate() {
                    own_sums[i] += value;
                    for (sum, other) in own_squares[i * n..].iter_mut().zip(&patch) {
                        *sum += value * other;
                    }
                }
                count += 1.0;
            }
        }
        let all = own_sums.iter().chain(&own_squares);
        for (sum, own) in sums.iter_mut().chain(&mut squares).zip(all) {
            *sum += f64::from(*own);
        }
    }
    let count = count.max(1.0);
    let entry =
        |(at, square): (usize, f64)| square / count - sums[at / n] * sums[at % n] / (count * count);
    squares.into_iter().enumerate().map(entry).collect()
}

/// Returns eigenvalues and unit eigenvectors of a symmetric matrix, the largest eigenvalue first.
/// The sign of an eigenvector is arbitrary: the component of largest magnitude is made positive, so
/// that the network does not depend on the solver.
fn principal_components(matrix: Vec<f64>, n: usize) -> Vec<(f64, Vec<f64>)> {
    let SymmetricEigen { eigenvalues, eigenvectors } =
        DMatrix::from_vec(n, n, matrix).symmetric_eigen();
    let directions = eigenvectors.column_iter().map(|vector| {
        let largest = vector.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs()));
        vector.iter().map(|value| value * largest.map_or(1.0, f64::signum)).collect()
    });
    let mut pairs: Vec<(f64, Vec<f64>)> = eigenvalues.iter().copied().zip(directions).collect();
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use zor_core::Conv2dConfig;
    use zor_core::burn::tensor::Device;
    use zor_data::ImageShape;

    /// Images whose neighbouring values depend on each other.
    fn images() -> Images {
        let shape = ImageShape { height: 8, width: 9, channels: 2 };
        let mut random = zor_core::Random::seeded(1);
        let mut value = 100.0;
        let mut next = || {
            value = 0.5 * value + 120.0 * random.uniform();
            value.clamp(0.0, 255.0) as u8
        };
        let images: Vec<u8> = (0..40 * shape.len()).map(|_| next()).collect();
        Images::new("rough", shape, images, vec![0; 40], 1).unwrap()
    }

    #[test]
    fn what_comes_out_is_white() {
        let (images, device) = (images(), Device::flex());
        let convolution = Conv2dConfig::new(16, 2).frozen();
        let mut network = Network::builder(&[8, 9, 2]).layer(convolution).build(&device).unwrap();
        whiten(&mut network, &images).unwrap();
        let input = crate::task::matrix(&images.pixels(), images.len(), &device).unwrap();
        let output: Vec<f32> = network.predict(input).unwrap().into_data().iter::<f32>().collect();
        let rows: Vec<&[f32]> = output.chunks_exact(16).collect();
        let mean = |of: &dyn Fn(&[f32]) -> f32| {
            rows.iter().map(|row| of(row)).sum::<f32>() / rows.len() as f32
        };
        for i in 0..8 {
            assert!(rows.iter().all(|row| (row[i] + row[i + 8]).abs() < 1e-4), "both signs");
            for j in 0..=i {
                let found =
                    mean(&|row| row[i] * row[j]) - mean(&|row| row[i]) * mean(&|row| row[j]);
                let expected = if i == j { 1.0 } else { 0.0 };
                // What was added to small variances makes them a little smaller.
                assert!((found - expected).abs() < 0.1, "{i} {j}: {found}");
            }
        }
    }

    #[test]
    fn shifts_behind_it_learn_for_three_eighths() {
        let device = Device::flex();
        let network = crate::tasks::parts::networks::airbench_of(&[32, 32, 3], [8, 8, 8], 10);
        let mut network = network.build(&device).unwrap();
        let mut random = zor_core::Random::seeded(1);
        let pixels: Vec<f32> = (0..2 * 3072).map(|_| random.uniform()).collect();
        let input = crate::task::matrix(&pixels, 2, &device).unwrap();
        let shift = |network: &Network| -> Vec<f32> {
            network.layers()[1].parameters()[1].value().into_data().iter::<f32>().collect()
        };
        for (step, learns) in [(0, true), (2, true), (3, false), (7, false)] {
            freeze_shift_after(&mut network, step, 8);
            let before = shift(&network);
            network.train_batch(&zor_optim::Sgd::new(1.0), input.clone(), vec![0, 1]).unwrap();
            assert_eq!(before != shift(&network), learns, "step {step}");
        }
    }

    #[test]
    fn a_convolution_that_learns_is_left_alone() {
        let device = Device::flex();
        let build = |config| Network::builder(&[8, 9, 2]).layer(config).build(&device).unwrap();
        let mut network = build(Conv2dConfig::new(16, 2));
        let kernel = |network: &Network| -> Vec<f32> {
            network.layers()[0].parameters()[0].value().into_data().iter::<f32>().collect()
        };
        let before = kernel(&network);
        whiten(&mut network, &images()).unwrap();
        assert_eq!(before, kernel(&network));
    }
}
