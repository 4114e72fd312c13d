//! Networks of the tasks, layer by layer.

use zor_core::{
    BatchNormConfig, BranchConfig, Conv2dConfig, DenseConfig, GateConfig, GatePosition, Network,
    NetworkBuilder, Pool2dConfig, Pooling, ReshapeConfig, ScaleConfig, SequentialConfig,
};

/// Dense layers with a gate before each; `hidden` are the numbers of hidden units.
pub fn dense(input: &[usize], hidden: &[usize], outputs: usize) -> NetworkBuilder {
    let mut network = Network::builder(input).layer(GateConfig::at(GatePosition::Input));
    for units in hidden {
        network = network.layer(DenseConfig::new(*units)).layer(GateConfig::default());
    }
    network.layer(DenseConfig::new(outputs))
}

/// A classifier of dense layers, with batch normalisation and a gate behind each; `hidden` are the
/// numbers of hidden units.
pub fn dense_classifier(image: &[usize], hidden: &[usize], classes: usize) -> NetworkBuilder {
    let input = Network::builder(image)
        .layer(ReshapeConfig::flatten())
        .layer(BatchNormConfig { trains_scale: false, ..BatchNormConfig::default() });
    normalized(input, hidden).layer(DenseConfig::new(classes)).layer(ScaleConfig::new(HEAD))
}

fn normalized(input: NetworkBuilder, hidden: &[usize]) -> NetworkBuilder {
    hidden.iter().fold(input, |network, units| {
        let dense = network.layer(DenseConfig::new(*units));
        dense.layer(BatchNormConfig::default()).layer(GateConfig::default())
    })
}

/// A classifier for sparse inputs, which are not normalised so that zeros stay zero. Batch
/// normalisation before each gate lets one inhibition per layer serve all units.
pub fn sparse_classifier(image: &[usize], hidden: &[usize], classes: usize) -> NetworkBuilder {
    let input = Network::builder(image).layer(ReshapeConfig::flatten());
    normalized(input, hidden).layer(DenseConfig::new(classes))
}

/// What the outputs of a classifier's last weights are multiplied by, so that they do not move too
/// far with a step of Muon (Jordan's airbench94 has it too).
const HEAD: f32 = 1.0 / 9.0;

/// A 3x3 convolution that keeps height and width, batch normalisation, and a gate.
pub fn conv_block(channels: usize) -> SequentialConfig {
    block(Conv2dConfig::same(channels, 3))
}

/// A [`conv_block`] with 2x2 max pooling.
pub fn pooled_conv_block(channels: usize) -> SequentialConfig {
    block(Conv2dConfig::same(channels, 3).with_max_pool(2))
}

fn block(convolution: Conv2dConfig) -> SequentialConfig {
    SequentialConfig::new()
        .layer(convolution)
        .layer(BatchNormConfig::default())
        .layer(GateConfig::default())
}

/// A classifier with four convolutions, for images of about 28x28.
pub fn small_conv(image: &[usize], classes: usize) -> NetworkBuilder {
    Network::builder(image)
        .layer(pooled_conv_block(32))
        .layer(conv_block(64))
        .layer(pooled_conv_block(128))
        .layer(conv_block(256))
        .layer(Pool2dConfig::global(Pooling::Max))
        .layer(ReshapeConfig::flatten())
        .layer(DenseConfig::new(classes))
}

/// Smallest height and width of images for [`airbench`].
pub(crate) const AIRBENCH_MIN_SIDE: usize = 25;

/// The network of airbench94 (Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU") with
/// gates in the place of its activation functions: 1.97 million parameters for images of 32x32. Its
/// first convolution does not learn; [`crate::training::Training::start`] makes it whiten.
pub fn airbench(image: &[usize], classes: usize) -> NetworkBuilder {
    airbench_of(image, [64, 256, 256], classes)
}

/// [`airbench`] with other numbers of channels in its three groups.
pub fn airbench_of(image: &[usize], groups: [usize; 3], classes: usize) -> NetworkBuilder {
    let patch = 2 * 2 * image.last().copied().unwrap_or(1);
    let mut network = Network::builder(image)
        .layer(Conv2dConfig::new(2 * patch, 2).frozen())
        .layer(BatchNormConfig { trains_scale: false, ..BatchNormConfig::default() })
        .layer(GateConfig::default());
    for channels in groups {
        let convolution = || Conv2dConfig::same(channels, 3).identity();
        network = network.layer(block(convolution().with_max_pool(2))).layer(block(convolution()));
    }
    network
        .layer(Pool2dConfig::max(3))
        .layer(ReshapeConfig::flatten())
        .layer(DenseConfig::new(classes))
        .layer(ScaleConfig::new(HEAD))
}

/// An autoencoder whose code is dense, with convolutions that change what goes into it and what
/// comes out of it, each beside a path past them: without its convolutions it would be the dense
/// autoencoder.
///
/// Heights and widths are multiples of four.
pub fn conv_autoencoder(image: &[usize], code: usize) -> NetworkBuilder {
    let channels = image.last().copied().unwrap_or(0);
    Network::builder(image)
        .layer(change(channels))
        .layer(ReshapeConfig::flatten())
        .layer(DenseConfig::new(code))
        .layer(DenseConfig::new(image.iter().product()))
        .layer(ReshapeConfig::new(image))
        .layer(change(channels))
}

/// A U-Net (Ronneberger et al. 2015) that makes colour of luminance: 0.41 million parameters.
/// Heights and widths are multiples of four.
pub fn colorizer(height: usize, width: usize) -> NetworkBuilder {
    let bottom = BranchConfig::concatenate()
        .layer(Pool2dConfig::max(2))
        .layer(conv_block(128))
        .layer(conv_block(128))
        .layer(Conv2dConfig::up(64, 2));
    let middle = BranchConfig::concatenate()
        .layer(Pool2dConfig::max(2))
        .layer(conv_block(64))
        .layer(conv_block(64))
        .layer(bottom)
        .layer(conv_block(64))
        .layer(Conv2dConfig::up(32, 2));
    let features =
        BranchConfig::concatenate().layer(conv_block(32)).layer(middle).layer(conv_block(32));
    // Luminance and features side by side.
    Network::builder(&[height, width, 1]).layer(features).layer(Conv2dConfig::new(3, 1))
}

/// Residual blocks on patches of 4x4 pixels, whose sum with the image is small at first.
fn change(channels: usize) -> BranchConfig {
    BranchConfig::residual()
        .layer(Conv2dConfig::new(96, 4).with_stride(4))
        .layer(residual_block(96))
        .layer(residual_block(96))
        .layer(Conv2dConfig { initial_scale: Some(0.1), ..Conv2dConfig::up(channels, 4) })
}

/// Two convolutions beside a path past them, each behind batch normalisation and a gate (He et al.
/// 2016, "Identity Mappings in Deep Residual Networks").
pub fn residual_block(channels: usize) -> BranchConfig {
    let half = || {
        SequentialConfig::new()
            .layer(BatchNormConfig::default())
            .layer(GateConfig::default())
            .layer(Conv2dConfig::same(channels, 3))
    };
    BranchConfig::residual().layer(half()).layer(half())
}

#[cfg(test)]
mod tests {
    use super::*;
    use zor_core::burn::tensor::Device;

    #[test]
    fn networks_have_the_shapes_they_are_known_for() {
        let device = Device::flex();
        let network = airbench(&[32, 32, 3], 10).build(&device).unwrap();
        assert_eq!(network.output_shape(), [10]);
        // Jordan: 1.97 million, biases of the whitening layer and norms included in one way or
        // another.
        assert!((1_960_000..1_980_000).contains(&network.n_parameters()), "{}", network.summary());
        let side = |side| airbench(&[side, side, 3], 10).build(&device);
        assert!(side(AIRBENCH_MIN_SIDE).is_ok() && side(AIRBENCH_MIN_SIDE - 1).is_err());
        let network = small_conv(&[28, 28, 1], 10).build(&device).unwrap();
        assert_eq!(network.output_shape(), [10]);
        let network = conv_autoencoder(&[32, 32, 3], 728).build(&device).unwrap();
        assert_eq!(network.output_shape(), [32, 32, 3]);
        let network = colorizer(32, 32).build(&device).unwrap();
        assert_eq!(network.output_shape(), [32, 32, 3]);
        assert!((400_000..420_000).contains(&network.n_parameters()), "{}", network.summary());
    }
}
