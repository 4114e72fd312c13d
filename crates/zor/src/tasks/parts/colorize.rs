//! Colorization of pictures of any size, in overlapping tiles of the network's input size.

use zor_core::Network;
use zor_core::burn::tensor::Device;

use super::color::luminance_of;
use crate::error::{Error, Result};
use crate::task::matrix;

/// Number of tiles in a batch.
const BATCH: usize = 64;

/// Colorizes a picture given by its luminance in row-major order. Returns three values per pixel,
/// not clamped. Tiles are blended, and the luminance of each pixel is kept.
///
/// # Errors
/// When the network does not map luminance to colours, or `grey` does not have `height * width`
/// values.
pub fn colorize(
    network: &Network,
    grey: &[f32],
    [height, width]: [usize; 2],
    device: &Device,
) -> Result<Vec<f32>> {
    let (&[tile_height, tile_width, 1], &[_, _, 3]) =
        (network.input_shape(), network.output_shape())
    else {
        return Err(Error::input(format!(
            "this network maps {:?} to {:?}; colorization needs one that maps [height, width, 1] to [height, width, 3]",
            network.input_shape(),
            network.output_shape()
        )));
    };
    if grey.is_empty() || grey.len() != height * width {
        return Err(Error::input(format!(
            "{} values are not a picture of {width}x{height}",
            grey.len()
        )));
    }
    let (rows, columns) = (places(height, tile_height), places(width, tile_width));
    let corners: Vec<(usize, usize)> =
        rows.iter().flat_map(|y| columns.iter().map(move |x| (*y, *x))).collect();
    let mut sums = vec![0f32; 3 * grey.len()];
    let mut weights = vec![0f32; grey.len()];
    for corners in corners.chunks(BATCH) {
        let mut tiles = Vec::with_capacity(corners.len() * tile_height * tile_width);
        for (top, left) in corners {
            for y in 0..tile_height {
                // Tiles larger than the picture are filled by repeating its border.
                let row = &grey[(top + y).min(height - 1) * width..][..width];
                tiles.extend((0..tile_width).map(|x| row[(left + x).min(width - 1)]));
            }
        }
        let found = network.predict(matrix(&tiles, corners.len(), device)?)?;
        let found: Vec<f32> = found.into_data().iter::<f32>().collect();
        let tiles = found.chunks_exact(3 * tile_height * tile_width);
        for ((top, left), tile) in corners.iter().zip(tiles) {
            for y in 0..tile_height.min(height - top) {
                for x in 0..tile_width.min(width - left) {
                    let weight = tent(y, tile_height) * tent(x, tile_width);
                    let at = (top + y) * width + left + x;
                    weights[at] += weight;
                    let pixel = &tile[3 * (y * tile_width + x)..][..3];
                    for (sum, value) in sums[3 * at..][..3].iter_mut().zip(pixel) {
                        *sum += weight * value;
                    }
                }
            }
        }
    }
    for ((pixel, weight), grey) in sums.chunks_exact_mut(3).zip(weights).zip(grey) {
        pixel.iter_mut().for_each(|value| *value /= weight);
        let found = luminance_of(pixel);
        pixel.iter_mut().for_each(|value| *value += grey - found);
    }
    Ok(sums)
}

/// Returns the tile positions along an axis: half a tile apart, with the last one at the end.
fn places(length: usize, tile: usize) -> Vec<usize> {
    let last = length.saturating_sub(tile);
    (0..last).step_by((tile / 2).max(1)).chain([last]).collect()
}

/// Blending weight: largest in the middle of a tile, smallest at its edges.
fn tent(at: usize, length: usize) -> f32 {
    (at + 1).min(length - at) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::parts::color::LUMINANCE;
    use zor_core::Conv2dConfig;

    /// A network of 1x1 convolutions predicts the same colours at every size, tiled or not.
    #[test]
    fn pictures_of_any_size_get_each_pixels_own_colour() {
        let device = Device::flex();
        let network =
            Network::builder(&[8, 8, 1]).layer(Conv2dConfig::new(3, 1)).build(&device).unwrap();
        for size in [[8, 8], [5, 3], [8, 21], [30, 17], [1, 1]] {
            let grey: Vec<f32> = (0..size[0] * size[1]).map(|at| (at % 7) as f32 / 7.0).collect();
            let found = colorize(&network, &grey, size, &device).unwrap();
            assert_eq!(found.len(), 3 * grey.len());
            for (pixel, grey) in found.chunks_exact(3).zip(&grey) {
                let luminance: f32 = pixel.iter().zip(LUMINANCE).map(|(a, b)| a * b).sum();
                assert!((luminance - grey).abs() < 1e-5, "{size:?}: {luminance} for {grey}");
                // In this network, chroma is proportional to luminance.
                let same = found.chunks_exact(3).next().unwrap_or(pixel);
                assert!(*grey != 0.0 || same[0].abs() < 1e-5, "{size:?}");
            }
            let by_hand = |grey: f32| found[3 * 6] / (6.0 / 7.0) * grey;
            if grey.len() > 6 {
                for (pixel, grey) in found.chunks_exact(3).zip(&grey) {
                    assert!((pixel[0] - by_hand(*grey)).abs() < 1e-4, "{size:?}");
                }
            }
        }
    }

    #[test]
    fn networks_and_pictures_that_do_not_fit_are_refused() {
        let device = Device::flex();
        let network = Network::dense(&[4, 4]).build(&device).unwrap();
        let message = colorize(&network, &[0.0; 4], [2, 2], &device).unwrap_err().to_string();
        assert!(message.contains("[height, width, 3]"), "{message}");
        let network =
            Network::builder(&[8, 8, 1]).layer(Conv2dConfig::new(3, 1)).build(&device).unwrap();
        let message = colorize(&network, &[0.0; 5], [2, 2], &device).unwrap_err().to_string();
        assert!(message.contains("5 values"), "{message}");
    }
}
