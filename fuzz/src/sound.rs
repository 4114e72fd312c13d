//! Valid files for the corpus: small, and together with every kind of layer and format. Written by
//! `cargo run -p zor-fuzz -- --write-corpus`.

use std::collections::BTreeMap;
use std::path::Path;

use zor::compile::{self, compile};
use zor::io::{self, DType, Progress};
use zor::prelude::*;

/// Writes the files, named `TARGET-NAME`.
///
/// # Errors
/// When a network cannot be built, or a file cannot be written.
pub fn write(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex();
    let notes = BTreeMap::from([("task".to_owned(), "none".to_owned())]);
    let dense = || Network::dense(&[4, 3, 2]).rule(Rule::classic()).build(&device);
    for dtype in DType::ALL {
        let path = folder.join(format!("model-dense-{}", dtype.name()));
        io::save_as(&dense()?, &notes, dtype, &path)?;
    }
    let mut maps = maps().build(&device)?;
    io::save(&maps, &notes, &folder.join("model-maps"))?;
    let sidecar = io::safetensors::Sidecar::None;
    io::safetensors::save(&maps, &notes, sidecar, &folder.join("safetensors-maps"))?;
    io::safetensors::save(&dense()?, &notes, sidecar, &folder.join("safetensors-dense"))?;

    let progress = |name: &str| Progress {
        step: 1,
        optimizer: name.to_owned(),
        counts: Vec::new(),
        state: "{}".to_owned(),
    };
    let mut trained = dense()?;
    trained.train_batch(&AdamW::default(), Tensor::ones([2, 4], &device), vec![0, 1])?;
    io::save_checkpoint(&trained, &notes, progress("adamw"), &folder.join("checkpoint-dense"))?;
    maps.train_batch(&Muon::new(0.1), Tensor::ones([2, 16], &device), vec![0, 1])?;
    io::save_checkpoint(&maps, &notes, progress("muon"), &folder.join("checkpoint-maps"))?;

    for (name, dtype) in [("f32", compile::DType::F32), ("int8", compile::DType::I8)] {
        let image = compile(&dense()?, dtype, &[0.5; 8])?;
        image.save(&folder.join(format!("edge-dense-{name}")))?;
        let maps = small_maps().build(&device)?;
        compile(&maps, dtype, &[0.5; 32])?.save(&folder.join(format!("edge-maps-{name}")))?;
    }
    let restorer = Network::dense(&[12, 3, 6]).build(&device)?;
    compile::compile_detector(&restorer, compile::DType::I8, &[0.5; 12], &SCORING)?
        .save(&folder.join("edge-detector-int8"))?;

    let number = |n: u32| n.to_be_bytes();
    let mut images = [0x0803, 3, 2, 2].map(number).concat();
    images.extend(0..12);
    std::fs::write(folder.join("idx-images"), images)?;
    let mut labels = [0x0801, 3].map(number).concat();
    labels.extend([1, 2, 3]);
    std::fs::write(folder.join("idx-labels"), labels)?;
    // The output of `printf '\0\0\10\1\0\0\0\2\4\5' | gzip -n`.
    std::fs::write(folder.join("idx-labels-gzip"), GZIPPED)?;

    let mut records = Vec::new();
    for label in [3, 9] {
        records.push(label);
        records.extend((0..3072u32).map(|value| (value % 251) as u8));
    }
    std::fs::write(folder.join("cifar-records"), records)?;

    let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2, 2, 3), }";
    let mut array = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    array.extend(format!("{header:<117}\n").bytes());
    array.extend(0..24);
    std::fs::write(folder.join("npy-colour"), array)?;

    std::fs::write(folder.join("toml-task"), TASK)?;
    Ok(())
}

/// Windows of two rows, of a number and a column with two categories.
const SCORING: compile::Scoring<'_> = compile::Scoring {
    window: 2,
    centers: &[10.0, 0.0],
    scales: &[2.0, 1.0],
    categories: &[0, 2],
    errors: &[1.0, 0.5, 1.0, 0.5],
    masks: &[0b0011, 0b1100],
    threshold: 1.5,
};

/// A network with a layer of every kind.
fn maps() -> NetworkBuilder {
    let sequence =
        SequentialConfig::new().layer(Conv2dConfig::same(1, 3)).layer(BatchNormConfig::default());
    let block = BranchConfig::residual().layer(sequence).layer(GateConfig::default());
    let skip = BranchConfig::concatenate()
        .layer(Pool2dConfig::max(2))
        .layer(DropoutConfig::new(0.2))
        .layer(UpsampleConfig::new(2))
        .shortcut(BiasConfig::default());
    Network::builder(&[4, 4, 1])
        .layer(block)
        .layer(skip)
        .layer(GroupNormConfig::layer())
        .layer(ReshapeConfig::flatten())
        .layer(DenseConfig::new(2))
}

/// A network with a layer of every kind that programs for small devices support.
fn small_maps() -> NetworkBuilder {
    Network::builder(&[4, 4, 1])
        .layer(Conv2dConfig::same(2, 3).with_max_pool(2))
        .layer(BatchNormConfig::default())
        .layer(GateConfig::default())
        .layer(Pool2dConfig::average(2))
        .layer(ReshapeConfig::flatten())
        .layer(DenseConfig::new(2))
        .layer(GateConfig {
            activation: Activation::Softmax,
            ..GateConfig::at(GatePosition::Output)
        })
}

const GZIPPED: [u8; 30] = [
    31, 139, 8, 0, 0, 0, 0, 0, 0, 3, 99, 96, 224, 96, 100, 96, 96, 96, 98, 97, 5, 0, 146, 157, 154,
    129, 10, 0, 0, 0,
];

const TASK: &str = "task = 'fashion-reconstruction'
seed = 3
steps = 100
batch = 32
learning_rate = 0.02
schedule = 'linear'
optimizer = 'muon'
weight_decay = 0.1
hidden = 32
threshold = 0.5
output_activation = 'relu'
train_samples = 50
samples = 'random'
augment = true
threads = 1
device = 'flex'

[augmentation]
shift = 2
flip = true
stretch = 0.3
";
