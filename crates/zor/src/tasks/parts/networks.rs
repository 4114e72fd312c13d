//! Network architectures of the tasks.

use zor_core::{
    BatchNormConfig, BranchConfig, Conv2dConfig, DenseConfig, GateConfig, GatePosition, Network,
    NetworkBuilder, Pool2dConfig, Pooling, ReshapeConfig, ScaleConfig, SequentialConfig,
};

/// Multilayer perceptron with a gate before each dense layer; `hidden` are the numbers of hidden
/// units.
pub fn dense(input: &[usize], hidden: &[usize], outputs: usize) -> NetworkBuilder {
    let mut network = Network::builder(input).layer(GateConfig::at(GatePosition::Input));
    for units in hidden {
        network = network.layer(DenseConfig::new(*units)).layer(GateConfig::default());
    }
    network.layer(DenseConfig::new(outputs))
}

/// Dense classifier with batch normalisation and a gate after each hidden layer; `hidden` are the
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

/// Dense classifier for sparse inputs, which are not normalised so that zeros stay zero. Batch
/// normalisation before each gate lets one inhibition value per layer serve all units.
pub fn sparse_classifier(image: &[usize], hidden: &[usize], classes: usize) -> NetworkBuilder {
    let input = Network::builder(image).layer(ReshapeConfig::flatten());
    normalized(input, hidden).layer(DenseConfig::new(classes))
}

/// Scale of the logits. It keeps them from moving too far in one step of Muon, as in Jordan's
/// airbench94.
const HEAD: f32 = 1.0 / 9.0;

/// A 3x3 convolution that keeps height and width, followed by batch normalisation and a gate.
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

/// Classifier with four convolutions, for images of about 28x28 pixels.
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

/// Minimum height and width of images for [`airbench`].
pub(crate) const AIRBENCH_MIN_SIDE: usize = 25;

/// The network of airbench94 (Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU") with
/// gates instead of activation functions: 1.97 million parameters for 32x32 images. The first
/// convolution is frozen; [`crate::training::Training::start`] sets its weights to whiten image
/// patches.
pub fn airbench(image: &[usize], classes: usize) -> NetworkBuilder {
    airbench_of(image, [64, 256, 256], classes)
}

/// [`airbench`] with other numbers of channels in its three groups of layers.
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

/// Autoencoder with a dense code and a residual convolutional block before the encoder and after
/// the decoder. Without the blocks it is the dense autoencoder.
///
/// Height and width must be multiples of four.
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

/// U-Net (Ronneberger et al. 2015) that predicts colours from luminance: 0.41 million parameters.
/// Height and width must be multiples of four.
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
    // The last convolution reads luminance and features concatenated.
    Network::builder(&[height, width, 1]).layer(features).layer(Conv2dConfig::new(3, 1))
}

/// Residual blocks on 4x4 patches. Their output is small at first, compared with the image it is
/// added to.
fn change(channels: usize) -> BranchConfig {
    BranchConfig::residual()
        .layer(Conv2dConfig::new(96, 4).with_stride(4))
        .layer(residual_block(96))
        .layer(residual_block(96))
        .layer(Conv2dConfig { initial_scale: Some(0.1), ..Conv2dConfig::up(channels, 4) })
}

/// Residual block of two convolutions, each preceded by batch normalisation and a gate (He et al.
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
        // Jordan counts 1.97 million; the biases of the whitening layer and the normalisation
        // layers can be counted in different ways.
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
