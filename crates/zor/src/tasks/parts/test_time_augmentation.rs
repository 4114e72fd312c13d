//! Test-time augmentation: predictions averaged over several views of an image.

use zor_core::burn::tensor::{Device, Int, Tensor};
use zor_core::{Network, Workspace};

use crate::error::Result;

/// Views to average predictions over. With both enabled, they are the six views of airbench94
/// (Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", section 3.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Views {
    /// The image and its mirror image, left to right.
    pub flip: bool,
    /// The image with weight 1/2, and the image shifted by one pixel up and left, and down and
    /// right, with weight 1/4 each. Borders are mirrored.
    pub shift: bool,
}

impl Views {
    /// Averages the network's outputs over the views. An input that is not of shape
    /// `[height, width, channels]` has a single view.
    ///
    /// # Shapes
    /// `[batch, inputs]` -> `[batch, outputs]`.
    ///
    /// # Errors
    /// When the images do not fit the network.
    pub fn predict(
        self,
        network: &Network,
        images: Tensor<2>,
        workspace: &mut Workspace,
    ) -> Result<Tensor<2>> {
        let &[height, width, channels] = network.input_shape() else {
            return Ok(network.predict_in(images, workspace)?);
        };
        let dims = images.dims();
        let mut sides = |images: Tensor<2>| -> Result<Tensor<2>> {
            let mirrored = self.flip.then(|| {
                images.clone().reshape([dims[0], height, width, channels]).flip([2]).reshape(dims)
            });
            let output = network.predict_in(images, workspace)?;
            Ok(match mirrored {
                Some(mirrored) => (output + network.predict_in(mirrored, workspace)?) * 0.5,
                None => output,
            })
        };
        let output = sides(images.clone())?;
        if !self.shift {
            return Ok(output);
        }
        let device = images.device();
        let mut moved = |by: isize| {
            sides(
                images
                    .clone()
                    .reshape([dims[0], height, width, channels])
                    .select(1, places(height, by, &device))
                    .select(2, places(width, by, &device))
                    .reshape(dims),
            )
        };
        Ok(output * 0.5 + (moved(-1)? + moved(1)?) * 0.25)
    }
}

/// Source indices of an axis that is shifted by one pixel, with mirrored borders.
fn places(size: usize, by: isize, device: &Device) -> Tensor<1, Int> {
    let last = size as isize - 1;
    let inside = |place: isize| (last - (last - (place + by).abs()).abs()).max(0) as i32;
    let places: Vec<i32> = (0..=last).map(inside).collect();
    Tensor::from_ints(places.as_slice(), device)
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use super::*;
    use zor_core::{DenseConfig, ReshapeConfig};

    fn shown(size: usize, by: isize) -> Vec<i64> {
        places(size, by, &Device::flex()).into_data().iter::<i64>().collect()
    }

    #[test]
    fn what_enters_is_mirrored_at_the_edge() {
        assert_eq!(shown(4, -1), [1, 0, 1, 2]);
        assert_eq!(shown(4, 1), [1, 2, 3, 2]);
        assert_eq!((shown(1, -1), shown(1, 1)), (vec![0], vec![0]));
    }

    #[test]
    fn answers_are_the_means_of_their_views() {
        let device = Device::flex();
        let network = Network::builder(&[3, 3, 1])
            .layer(ReshapeConfig::flatten())
            .layer(DenseConfig::new(2))
            .build(&device)
            .unwrap();
        let mut workspace = Workspace::new(&device);
        let mut say = |views: Views, pixels: [f32; 9]| -> Vec<f32> {
            let image = Tensor::<1>::from_floats(pixels, &device).reshape([1, 9]);
            let output = views.predict(&network, image, &mut workspace).unwrap();
            output.into_data().iter::<f32>().collect()
        };
        let one = Views::default();
        let image = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
        let aside = [3.0, 2.0, 1.0, 6.0, 5.0, 4.0, 9.0, 8.0, 7.0];
        let up = [5.0, 6.0, 5.0, 8.0, 9.0, 8.0, 5.0, 6.0, 5.0];
        let down = [5.0, 4.0, 5.0, 2.0, 1.0, 2.0, 5.0, 4.0, 5.0];
        let mirrored = |p: [f32; 9]| [p[2], p[1], p[0], p[5], p[4], p[3], p[8], p[7], p[6]];
        let mut mean = |views: &[([f32; 9], f32)]| {
            views.iter().fold(vec![0.0; 2], |sum, (pixels, share)| {
                sum.iter().zip(say(one, *pixels)).map(|(s, value)| s + share * value).collect()
            })
        };
        let both = mean(&[(image, 0.5), (aside, 0.5)]);
        let moved = mean(&[(image, 0.5), (up, 0.25), (down, 0.25)]);
        let six = mean(&[
            (image, 0.25),
            (aside, 0.25),
            (up, 0.125),
            (mirrored(up), 0.125),
            (down, 0.125),
            (mirrored(down), 0.125),
        ]);
        for (views, expected) in [
            (Views { flip: true, shift: false }, both),
            (Views { flip: false, shift: true }, moved),
            (Views { flip: true, shift: true }, six),
        ] {
            for (found, expected) in say(views, image).iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-5, "{views:?}: {found} and {expected}");
            }
        }
    }
}
