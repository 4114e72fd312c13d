//! Compiled networks beside those that they are compiled from.

use zor_core::burn::tensor::{Device, Tensor, TensorData};
use zor_core::{
    Activation, BatchNormConfig, BiasConfig, BranchConfig, Conv2dConfig, DenseConfig,
    DropoutConfig, GateConfig, GatePosition, Network, NetworkBuilder, Pool2dConfig, Pooling,
    Random, ReshapeConfig, Rule, ScaleConfig, SequentialConfig, ops,
};

use crate::{DType, Program, compile};

fn noise(n: usize, seed: u64) -> Vec<f32> {
    let mut random = Random::seeded(seed);
    (0..n).map(|_| random.uniform()).collect()
}

/// Outputs of a network and of its program for 20 inputs. Running means of batch normalisation are
/// changed from their initial values.
fn both(builder: NetworkBuilder, dtype: DType) -> (Vec<f32>, Vec<f32>) {
    let device = Device::flex();
    let mut network = builder.seed(3).build(&device).unwrap();
    for (at, layer) in network.layers_mut().iter_mut().enumerate() {
        let mut all = layer.buffers_mut();
        all.iter_mut().for_each(|one| {
            let [rows, columns] = one.shape();
            let values = noise(rows * columns, at as u64).iter().map(|value| value + 0.2).collect();
            let value =
                Tensor::from_data(TensorData::new::<f32, _>(values, [rows, columns]), &device);
            one.set_value(value).unwrap();
        });
    }
    let inputs: usize = network.input_shape().iter().product();
    let samples = noise(20 * inputs, 9);
    let input = Tensor::from_data(TensorData::new(samples.clone(), [20, inputs]), &device);
    let expected = ops::read(network.predict(input).unwrap()).unwrap();
    let program = compile(&network, dtype, &samples).unwrap();
    let small = program.network().unwrap();
    let mut scratch = vec![0.0; small.scratch_len()];
    let mut found = vec![0.0; expected.len()];
    for (input, output) in samples.chunks(inputs).zip(found.chunks_mut(expected.len() / 20)) {
        small.run(input, output, &mut scratch).unwrap();
    }
    (expected, found)
}

fn networks() -> Vec<NetworkBuilder> {
    let activation = |activation| GateConfig { activation, ..GateConfig::at(GatePosition::Output) };
    let block = SequentialConfig::new()
        .layer(Conv2dConfig::same(6, 3).with_max_pool(2))
        .layer(BatchNormConfig::default())
        .layer(GateConfig { threshold: Some(0.1), inhibition: 0.2, ..GateConfig::default() });
    vec![
        Network::dense(&[12, 7, 12]).rule(Rule::classic()),
        Network::builder(&[12])
            .layer(BatchNormConfig::default())
            .layer(DenseConfig::new(9))
            .layer(BatchNormConfig::default())
            .layer(GateConfig::default())
            .layer(DropoutConfig::new(0.5))
            .layer(DenseConfig::new(4))
            .layer(BiasConfig::default())
            .layer(ScaleConfig::new(0.5))
            .layer(activation(Activation::Softmax)),
        Network::builder(&[9, 8, 2])
            .layer(block)
            .layer(Conv2dConfig::new(5, 2).with_stride(2).with_padding(1))
            .layer(GateConfig { activation: Activation::Gelu, ..GateConfig::default() })
            .layer(Pool2dConfig::average(2).with_padding(1))
            .layer(BiasConfig::default())
            .layer(Pool2dConfig::global(Pooling::Max))
            .layer(ReshapeConfig::flatten())
            .layer(DenseConfig::new(3))
            .layer(activation(Activation::Sigmoid)),
    ]
}

#[test]
fn an_image_answers_as_its_network_does() {
    for network in networks() {
        let text = format!("{network:?}");
        let (expected, found) = both(network, DType::F32);
        let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 * a.abs().max(1.0);
        assert!(expected.iter().zip(&found).all(close), "{text}: {expected:?} {found:?}");
    }
}

#[test]
fn eight_bits_are_nearly_as_good() {
    for network in networks() {
        let text = format!("{network:?}");
        let (expected, found) = both(network, DType::I8);
        let power: f32 = expected.iter().map(|value| value * value).sum();
        let error: f32 = expected.iter().zip(&found).map(|(a, b)| (a - b) * (a - b)).sum();
        assert!(error < 1e-3 * power, "{text}: {error} of {power}");
    }
}

#[test]
fn layers_without_a_form_and_samples_that_do_not_fit_are_named() {
    let device = Device::flex();
    let failed = |builder: NetworkBuilder| {
        let network = builder.build(&device).unwrap();
        compile(&network, DType::F32, &[]).unwrap_err().to_string()
    };
    let map = || Network::builder(&[4, 4, 2]);
    let residual = BranchConfig::residual().layer(Conv2dConfig::same(2, 3));
    assert!(failed(map().layer(residual)).contains("layer 0 (residual)"));
    assert!(failed(map().layer(Conv2dConfig::up(2, 2))).contains("transposed"));
    let own = Activation::custom("own", |x| x);
    let gate = GateConfig { activation: own, ..GateConfig::default() };
    assert!(failed(Network::builder(&[4]).layer(gate)).contains("own"));
    assert!(
        failed(Network::builder(&[4]).layer(ReshapeConfig::flatten()))
            .contains("computes anything")
    );
    let network = Network::dense(&[4, 2]).build(&device).unwrap();
    let error = compile(&network, DType::I8, &[1.0; 7]).unwrap_err().to_string();
    assert!(error.contains("samples of 4 values"), "{error}");
}

/// Returns the error of compiling a network with these samples.
fn failed(network: &Network, dtype: DType, calibration: &[f32]) -> String {
    compile(network, dtype, calibration).unwrap_err().to_string()
}

fn two_layers(weight: f32) -> Network {
    let mut network = Network::dense(&[4, 3, 2]).build(&Device::flex()).unwrap();
    network
        .for_each_tensor(|name, tensor| {
            if name == "1.weight" {
                tensor.set_value(tensor.value() * 0.0 + weight).unwrap();
            }
        })
        .unwrap();
    network
}

#[test]
fn samples_that_int8_cannot_be_chosen_by_are_named() {
    let network = two_layers(1.0);
    let int8 = |samples: &[f32]| failed(&network, DType::I8, samples);
    assert!(int8(&[]).contains("samples of 4 values, not 0 values"));
    assert!(int8(&[1.0; 9]).contains("samples of 4 values, not 9 values"));
    for zeros in [[0.0; 8], [-0.0; 8], [1e-42; 8]] {
        assert!(int8(&zeros).contains("all calibration samples are zero"));
    }
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut samples = [1.0; 12];
        samples[6] = value;
        let error = int8(&samples);
        assert!(error.contains("value 2 of calibration sample 1 is"), "{error}");
    }
    let error = int8(&[1e36; 4]);
    assert!(error.contains("layer 1 (dense)") && error.contains("too large"), "{error}");
    // The samples are not, but what the layer makes of them is.
    let error = failed(&two_layers(1e30), DType::I8, &[1e6; 4]);
    assert!(error.contains("layer 3 (dense)") && error.contains("too large"), "{error}");
    // f32 is not chosen by samples.
    assert!(compile(&network, DType::F32, &[f32::NAN; 3]).is_ok());
}

#[test]
fn weights_that_no_image_can_have_are_named_with_their_layer() {
    for dtype in [DType::F32, DType::I8] {
        for weight in [f32::NAN, f32::INFINITY] {
            let error = failed(&two_layers(weight), dtype, &[1.0; 4]);
            assert!(error.contains("layer 1 (dense): value 0 of its weight is"), "{error}");
        }
        let scaled = |factor| {
            let builder = Network::builder(&[4]).layer(DenseConfig::new(2));
            let mut network =
                builder.layer(ScaleConfig::new(factor)).build(&Device::flex()).unwrap();
            network
                .for_each_tensor(|_, tensor| {
                    tensor.set_value(tensor.value() * 0.0 + 1e20).unwrap();
                })
                .unwrap();
            network
        };
        let error = failed(&scaled(1e30), dtype, &[1.0; 4]);
        assert!(error.contains("layer 0 (dense): its weights, with"), "{error}");
        assert!(compile(&scaled(1e-20), dtype, &[1.0; 4]).is_ok());
    }
}

#[test]
fn images_of_constant_tiny_and_huge_weights_have_finite_answers() {
    for weight in [0.0, -0.0, 1.0, -2.5, 1e-45, 1e-38, 1e-30, 1e20, 3.4e38] {
        for sample in [1e-30, 1.0, 1e6] {
            let network = two_layers(weight);
            let Ok(program) = compile(&network, DType::I8, &[sample; 8]) else {
                assert!(weight > 1e19, "{weight} {sample}");
                continue;
            };
            let network = program.network().unwrap();
            let mut output = [f32::NAN; 2];
            let mut scratch = vec![0.0; network.scratch_len()];
            for input in [0.0, sample, -sample, f32::MAX, f32::NAN] {
                network.run(&[input; 4], &mut output, &mut scratch).unwrap();
                assert!(output.iter().all(|value| value.is_finite()), "{weight} {sample}");
            }
        }
    }
}

#[test]
fn what_an_image_has_no_room_for_is_named_with_its_layer() {
    let inner =
        GateConfig { activation: Activation::Softmax, ..GateConfig::at(GatePosition::Output) };
    let builder = Network::builder(&[4]).layer(DenseConfig::new(3)).layer(inner);
    let network = builder.layer(DenseConfig::new(2)).build(&Device::flex()).unwrap();
    let error = failed(&network, DType::F32, &[]);
    assert!(error.contains("layer 0 (dense): softmax is for the last layer"), "{error}");
}

#[test]
fn damaged_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.zore");
    let network = Network::dense(&[4, 2]).build(&Device::flex()).unwrap();
    let program = compile(&network, DType::F32, &[]).unwrap();
    program.save(&path).unwrap();
    assert_eq!(Program::load(&path).unwrap().bytes(), program.bytes());
    let mut bytes = program.bytes().to_vec();
    bytes[40] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let error = Program::load(&path).unwrap_err().to_string();
    assert!(error.contains("a.zore") && error.contains("checksum"), "{error}");
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert!(Program::load(&path).unwrap_err().to_string().contains("truncated"));
    assert!(Program::load(&folder.path().join("none.zore")).is_err());
    let error = Program::load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("not a regular file"), "{error}");
}
