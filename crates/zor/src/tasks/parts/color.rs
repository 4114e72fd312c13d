//! Luminance, colour difference, and colour predictors that use luminance only.

use palette::color_difference::Ciede2000;
use palette::{IntoColor, Lab, Srgb};
use zor_core::burn::tensor::{Tensor, TensorData};
use zor_data::{ImageShape, Images};

/// Weights of red, green and blue in luminance (ITU-R BT.601).
pub const LUMINANCE: [f32; 3] = [0.299, 0.587, 0.114];

/// Computes the luminance of pixels.
///
/// # Shapes
/// `[batch, 3 pixels]` -> `[batch, pixels]`.
pub fn luminance(images: Tensor<2>) -> Tensor<2> {
    let [rows, values] = images.dims();
    let shares = TensorData::new(LUMINANCE.to_vec(), [3, 1]);
    let shares = Tensor::<2>::from_data(shares, &images.device());
    images.reshape([rows * values / 3, 3]).matmul(shares).reshape([rows, values / 3])
}

/// Computes the luminance of one pixel with red, green and blue.
pub fn luminance_of(pixel: &[f32]) -> f32 {
    pixel.iter().zip(LUMINANCE).map(|(value, share)| value * share).sum()
}

/// Returns the mean CIEDE2000 colour difference (Sharma, Wu and Dalal 2005) of sRGB pixels, three
/// values each, clamped to [0, 1]. A difference of about 1 is barely visible, 2 to 10 is visible at
/// a glance.
pub fn mean_ciede2000(truth: &[f32], guess: &[f32]) -> f64 {
    let lab = |pixel: &[f32]| -> Lab {
        let [red, green, blue] = [0, 1, 2].map(|channel: usize| pixel[channel].clamp(0.0, 1.0));
        Srgb::new(red, green, blue).into_color()
    };
    let pairs = truth.chunks_exact(3).zip(guess.chunks_exact(3));
    let sum: f64 = pairs.map(|(a, b)| f64::from(lab(a).difference(lab(b)))).sum();
    sum / (truth.len() / 3) as f64
}

/// Radius of the luminance window of ridge regression, in pixels.
const REACH: isize = 2;
/// Number of regression inputs: the window and a constant 1.
const INPUTS: usize = (2 * REACH as usize + 1).pow(2) + 1;
/// Maximum number of images that the regression is fitted to.
const FITTED: usize = 5000;
/// L2 penalty of the regression, per pixel.
const RIDGE: f64 = 1e-4;

/// Colour predictors that use luminance only: baselines for networks.
#[derive(Clone, Debug)]
pub enum ColorPrior {
    /// Grey: no colour.
    Grey,
    /// The mean chroma of all training pixels, at every luminance.
    MeanChroma([f32; 3]),
    /// The mean chroma of the training pixels with the same luminance, in 256 steps.
    Table(Vec<[f32; 3]>),
    /// A linear function of the luminance in a 5x5 window around the pixel.
    Ridge(Vec<[f64; 3]>),
}

impl ColorPrior {
    /// Fits all predictors to colour training images.
    pub fn fit(train: &Images) -> Vec<Self> {
        let shape = train.shape();
        let mut sums = vec![([0f64; 3], 0f64); 256];
        let mut gram = vec![[0f64; INPUTS]; INPUTS];
        let mut moments = vec![[0f64; 3]; INPUTS];
        for index in 0..train.len() {
            let image: Vec<f32> =
                train.image(index).iter().map(|value| f32::from(*value) / 255.0).collect();
            let grey: Vec<f32> = image.chunks_exact(3).map(luminance_of).collect();
            for (at, pixel) in image.chunks_exact(3).enumerate() {
                let chroma = [0, 1, 2].map(|channel: usize| f64::from(pixel[channel] - grey[at]));
                let (sum, count) = &mut sums[step(grey[at])];
                sum.iter_mut().zip(chroma).for_each(|(sum, value)| *sum += value);
                *count += 1.0;
                if index < FITTED {
                    let inputs = neighbourhood(&grey, shape, at);
                    for (row, a) in inputs.iter().enumerate() {
                        for (sum, b) in gram[row].iter_mut().zip(&inputs) {
                            *sum += a * b;
                        }
                        for (sum, value) in moments[row].iter_mut().zip(chroma) {
                            *sum += a * value;
                        }
                    }
                }
            }
        }
        let pixels = (train.len().min(FITTED) * shape.height * shape.width) as f64;
        for (row, values) in gram.iter_mut().enumerate() {
            values[row] += RIDGE * pixels;
        }
        let total: f64 = sums.iter().map(|(_, count)| count).sum();
        let mean = [0, 1, 2].map(|channel: usize| {
            (sums.iter().map(|(sum, _)| sum[channel]).sum::<f64>() / total) as f32
        });
        let table = sums.iter().map(|(sum, count)| match *count {
            0.0 => mean,
            count => sum.map(|sum| (sum / count) as f32),
        });
        vec![
            Self::Grey,
            Self::MeanChroma(mean),
            Self::Table(table.collect()),
            Self::Ridge(solve(gram, moments)),
        ]
    }

    /// Returns the name for tables.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Grey => "grey",
            Self::MeanChroma(_) => "mean chroma",
            Self::Table(_) => "luminance table",
            Self::Ridge(_) => "ridge regression",
        }
    }

    /// Predicts a colour image from its luminance.
    pub fn predict(&self, grey: &[f32], shape: ImageShape) -> Vec<f32> {
        let chroma = |at: usize| match self {
            Self::Grey => [0.0; 3],
            Self::MeanChroma(mean) => *mean,
            Self::Table(table) => table[step(grey[at])],
            Self::Ridge(weights) => {
                let mut sum = [0f64; 3];
                for (input, weights) in neighbourhood(grey, shape, at).iter().zip(weights) {
                    sum.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += input * weight);
                }
                sum.map(|value| value as f32)
            }
        };
        (0..grey.len()).flat_map(|at| chroma(at).map(|value| grey[at] + value)).collect()
    }
}

fn step(grey: f32) -> usize {
    (grey * 255.0).round().clamp(0.0, 255.0) as usize
}

/// Returns the luminance in the window around a pixel, with the border repeated outside the image,
/// and a constant 1.
fn neighbourhood(grey: &[f32], shape: ImageShape, at: usize) -> [f64; INPUTS] {
    let (y, x) = ((at / shape.width) as isize, (at % shape.width) as isize);
    let mut inputs = [1.0; INPUTS];
    let mut next = inputs.iter_mut();
    for dy in -REACH..=REACH {
        let row = (y + dy).clamp(0, shape.height as isize - 1) as usize;
        for dx in -REACH..=REACH {
            let column = (x + dx).clamp(0, shape.width as isize - 1) as usize;
            if let Some(input) = next.next() {
                *input = f64::from(grey[row * shape.width + column]);
            }
        }
    }
    inputs
}

/// Solves `matrix x = right` for a positive definite matrix by Gaussian elimination.
fn solve(mut matrix: Vec<[f64; INPUTS]>, mut right: Vec<[f64; 3]>) -> Vec<[f64; 3]> {
    for column in 0..INPUTS {
        let (row, value) = (matrix[column], right[column]);
        for below in column + 1..INPUTS {
            let factor = matrix[below][column] / row[column];
            matrix[below].iter_mut().zip(row).for_each(|(a, b)| *a -= factor * b);
            right[below].iter_mut().zip(value).for_each(|(a, b)| *a -= factor * b);
        }
    }
    for column in (0..INPUTS).rev() {
        let pivot = matrix[column][column];
        let solved = right[column].map(|value| value / pivot);
        right[column] = solved;
        for above in 0..column {
            let factor = matrix[above][column];
            right[above].iter_mut().zip(solved).for_each(|(a, b)| *a -= factor * b);
        }
    }
    right
}

#[cfg(test)]
mod tests {
    use super::*;
    use zor_core::burn::tensor::Device;

    #[test]
    fn luminance_is_the_weighted_sum_of_a_pixels_channels() {
        let pixels = TensorData::new(vec![1f32, 0.0, 0.0, 0.5, 0.5, 0.5], [1, 6]);
        let grey = luminance(Tensor::from_data(pixels, &Device::flex()));
        let grey: Vec<f32> = grey.into_data().iter::<f32>().collect();
        assert!((grey[0] - 0.299).abs() < 1e-6 && (grey[1] - 0.5).abs() < 1e-6, "{grey:?}");
    }

    #[test]
    fn differences_are_zero_for_equal_colours_and_known_for_others() {
        assert_eq!(mean_ciede2000(&[0.2, 0.4, 0.6], &[0.2, 0.4, 0.6]), 0.0);
        // Black and white differ only in lightness, by 100; CIEDE2000 leaves a lightness difference
        // unweighted around the mean lightness of 50.
        let found = mean_ciede2000(&[0.0, 0.0, 0.0], &[1.0, 1.0, 1.0]);
        assert!((found - 100.0).abs() < 0.1, "{found}");
    }

    /// Images of uniform noise.
    fn images() -> Images {
        let shape = ImageShape { height: 4, width: 4, channels: 3 };
        let mut random = zor_core::Random::seeded(1);
        let images = (0..200 * 48).map(|_| random.below(256) as u8).collect();
        Images::new("noise", shape, images, vec![0; 200], 1).unwrap()
    }

    #[test]
    fn each_guess_is_at_least_as_good_as_those_that_it_contains() {
        let data = images();
        let shape = data.shape();
        let errors: Vec<f64> = ColorPrior::fit(&data)
            .iter()
            .map(|guess| {
                let mut squared = 0.0;
                for index in 0..data.len() {
                    let image: Vec<f32> =
                        data.image(index).iter().map(|value| f32::from(*value) / 255.0).collect();
                    let grey: Vec<f32> = image.chunks_exact(3).map(luminance_of).collect();
                    let found = guess.predict(&grey, shape);
                    let pairs = found.iter().zip(&image);
                    squared += pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
                }
                squared
            })
            .collect();
        // In the order of [`ColorPrior::fit`]: grey, mean, table, ridge.
        assert!(
            errors[1] <= errors[0] && errors[2] <= errors[1] && errors[3] <= errors[1],
            "{errors:?}"
        );
    }
}
