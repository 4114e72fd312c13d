//! What the crate promises of files, held to with whole ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use zor_core::burn::tensor::{Device, Distribution, Tensor};
use zor_core::{
    BatchNormConfig, BiasConfig, BranchConfig, CarriedState, Conv2dConfig, DenseConfig,
    DropoutConfig, EmbeddingConfig, GateConfig, GroupNormConfig, Network, Optimizer,
    OptimizerState, Parameter, Pool2dConfig, Random, ReshapeConfig, RmsNormConfig, Rule,
    ScaleConfig, Sequences, SequentialConfig, SpikeAttentionConfig, TiedEmbeddingConfig,
    UpsampleConfig, Workspace,
};

use ::safetensors::tensor::{Dtype, TensorView};

use crate::container::{self, reseal};
use crate::model::{encode, encode_checkpoint};
use crate::*;

/// An optimizer with momentum.
#[derive(Debug)]
struct Momentum;

impl Optimizer for Momentum {
    fn name(&self) -> &str {
        "momentum"
    }

    fn check(&self) -> zor_core::Result<()> {
        Ok(())
    }

    fn step(&self, parameter: &mut Parameter, correlation: Tensor<2>, _: &mut Workspace) {
        parameter.update(|weight, state, step| {
            let kept = state.tensors.pop().unwrap_or_else(|| correlation.zeros_like());
            let kept = kept * 0.5 + correlation;
            state.tensors.push(kept.clone());
            weight + kept * (0.1 / step as f32)
        });
    }
}

fn dense() -> Network {
    Network::dense(&[6, 4, 6]).rule(Rule::classic()).seed(3).build(&Device::flex()).unwrap()
}

/// A network with every kind of layer.
fn all_layers() -> Network {
    let sequence =
        SequentialConfig::new().layer(Conv2dConfig::same(3, 3)).layer(BatchNormConfig::default());
    let block = BranchConfig::residual().layer(sequence).layer(GateConfig::default());
    let skip = BranchConfig::concatenate()
        .layer(Pool2dConfig::max(2))
        .layer(DropoutConfig::new(0.2))
        .layer(ScaleConfig::new(0.5))
        .layer(UpsampleConfig::new(2))
        .shortcut(BiasConfig::default());
    Network::builder(&[4, 4, 3])
        .rule(Rule { stateful: true, ..Rule::default() })
        .layer(block)
        .layer(skip)
        .layer(GroupNormConfig::layer())
        .layer(ReshapeConfig::flatten())
        .layer(DenseConfig::new(2))
        .build(&Device::flex())
        .unwrap()
}

fn input(rows: usize, columns: usize, seed: u64) -> Tensor<2> {
    let mut random = Random::seeded(seed);
    Parameter::normal("x", [rows, columns], 1.0, &mut random, &Device::flex()).value()
}

fn train(network: &mut Network, seed: u64) -> f64 {
    let input = input(5, 48, seed);
    network.train_batch(&Momentum, input, vec![0, 1, 0, 1, 1]).unwrap().mean_squared()
}

fn notes() -> BTreeMap<String, String> {
    BTreeMap::from([("task".to_owned(), "test".to_owned())])
}

fn progress() -> Progress {
    let (optimizer, state) = ("momentum".to_owned(), "anything".to_owned());
    Progress { step: 3, optimizer, counts: Vec::new(), state }
}

fn bytes_of(network: &Network) -> Vec<u8> {
    encode(network, Header::of(network, &notes()).unwrap(), DType::F32).unwrap().into_bytes()
}

fn checkpoint_of(network: &Network) -> Vec<u8> {
    encode_checkpoint(network, &notes(), progress()).unwrap().into_bytes()
}

fn loaded(bytes: &[u8]) -> Result<(Network, Header)> {
    load_bytes(bytes, &Device::flex(), &Registry::default())
}

fn saved(network: &Network) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.zor");
    save(network, &notes(), &path).unwrap();
    (folder, path)
}

#[test]
fn a_loaded_network_answers_as_the_saved_one() {
    let (_folder, path) = saved(&dense());
    let (network, header) = load(&path, &Device::flex()).unwrap();
    let numbers = |n: &Network| n.predict(input(3, 6, 1)).unwrap().into_data();
    assert_eq!(numbers(&network), numbers(&dense()));
    assert_eq!(network.rule(), &Rule::classic());
    assert_eq!(header.notes, notes());
    assert_eq!(header.n_parameters(), 48);
    assert_eq!(header, info(&path).unwrap());
}

#[test]
fn what_is_loaded_is_saved_byte_for_byte_as_it_was() {
    let mut network = all_layers();
    train(&mut network, 1);
    for bytes in [bytes_of(&dense()), bytes_of(&network)] {
        assert_eq!(bytes_of(&loaded(&bytes).unwrap().0), bytes);
    }
    let bytes = checkpoint_of(&network);
    let (again, header) = loaded(&bytes).unwrap();
    let progress = header.progress.unwrap();
    let encoded = encode_checkpoint(&again, &header.notes, progress).unwrap();
    assert_eq!(encoded.into_bytes(), bytes);
    for dtype in DType::ALL {
        let header = Header::of(&network, &notes()).unwrap();
        let bytes = encode(&network, header, dtype).unwrap().into_bytes();
        let (again, header) = loaded(&bytes).unwrap();
        let header = Header { tensors: Vec::new(), ..header };
        assert_eq!(encode(&again, header, dtype).unwrap().into_bytes(), bytes, "{dtype:?}");
    }
}

#[test]
fn training_goes_on_bit_for_bit_from_a_checkpoint() {
    let mut network = all_layers();
    for seed in 0..3 {
        train(&mut network, seed);
    }
    let (mut resumed, header) = loaded(&checkpoint_of(&network)).unwrap();
    let progress = header.progress.unwrap();
    assert_eq!((progress.step, &progress.counts[0]), (3, &("1.1".to_owned(), 3)));
    assert_eq!(resumed.history(), network.history());
    for seed in 3..6 {
        assert_eq!(train(&mut resumed, seed), train(&mut network, seed));
    }
    assert_eq!(checkpoint_of(&resumed), checkpoint_of(&network));
}

#[test]
fn a_checkpoint_keeps_whose_state_it_is_and_since_when() {
    let mut network = dense();
    let states = [("muon", 7, 3), ("of somebody/else", 0, 9), ("", 2, 0)];
    let trained = network.layers_mut().iter_mut().flat_map(|layer| layer.parameters_mut());
    for (parameter, (owner, began, schedule)) in trained.zip(states) {
        let owner = owner.to_owned();
        let tensors = vec![parameter.value()];
        let schedule_began = began + schedule;
        let state = OptimizerState {
            tensors,
            owner,
            began,
            schedule,
            schedule_began,
            ..Default::default()
        };
        parameter.set_state(state, 20).unwrap();
    }
    let bytes = checkpoint_of(&network);
    let again = loaded(&bytes).unwrap().0;
    for ((name, _, before), (_, _, after)) in network.tensors().into_iter().zip(again.tensors()) {
        let (a, b) = (before.state(), after.state());
        assert_eq!((&a.owner, a.began, a.schedule), (&b.owner, b.began, b.schedule), "{name}");
        assert_eq!((a.schedule_began, before.steps()), (b.schedule_began, after.steps()), "{name}");
    }
    assert_eq!(checkpoint_of(&again), bytes);
}

#[test]
fn a_checkpoint_without_owners_is_of_the_optimizer_that_its_progress_names() {
    let mut network = dense();
    for parameter in network.layers_mut().iter_mut().flat_map(|layer| layer.parameters_mut()) {
        let state = OptimizerState { tensors: vec![parameter.value()], ..Default::default() };
        parameter.set_state(state, 4).unwrap();
    }
    let names = [("adam", "adamw"), ("adamw", "adamw"), ("muon", "muon"), ("momentum", "")];
    for (name, owner) in names {
        let progress = Progress { optimizer: name.to_owned(), ..progress() };
        let bytes = encode_checkpoint(&network, &notes(), progress).unwrap().into_bytes();
        let container = container::decode(&bytes).unwrap();
        let mut header = Header::decode(container.description, container.tensors).unwrap();
        let tensors = bytes[container.tensors_at..][..container.tensors].to_vec();
        header.progress.as_mut().unwrap().counts.clear();
        let old = container::encode(&header.encode().unwrap(), tensors).unwrap().into_bytes();
        let network = loaded(&old).unwrap().0;
        let parameters = network.layers().iter().flat_map(|layer| layer.parameters());
        for parameter in parameters {
            let state = parameter.state();
            assert_eq!((&*state.owner, state.began, state.schedule), (owner, 0, 0));
        }
    }
}

#[test]
fn leaving_any_part_of_a_checkpoint_out_is_noticed() {
    let mut network = all_layers();
    for seed in 0..3 {
        train(&mut network, seed);
    }
    let without = |forget: &dyn Fn(&mut Network)| {
        let mut resumed = loaded(&checkpoint_of(&network)).unwrap().0;
        forget(&mut resumed);
        train(&mut resumed, 3);
        train(&mut resumed, 4)
    };
    let whole = without(&|_| {});
    assert_eq!(without(&|_| {}), whole);
    type Forget = dyn Fn(&mut Network);
    let forgotten: [(&str, &Forget); 4] = [
        ("moments", &|network| {
            let visited = network.for_each_tensor(|_, parameter| {
                let steps = parameter.steps();
                parameter.set_state(OptimizerState::default(), steps).unwrap();
            });
            visited.unwrap();
        }),
        ("numbers of steps", &|network| {
            let visited = network.for_each_tensor(|_, parameter| {
                parameter.set_state(parameter.state().clone(), 0).unwrap();
            });
            visited.unwrap();
        }),
        ("the generators of dropout", &|network| {
            let counts = Vec::new();
            network.set_carried_state(CarriedState { counts, ..network.carried_state() }).unwrap();
        }),
        ("charges", &|network| {
            let tensors = Vec::new();
            network.set_carried_state(CarriedState { tensors, ..network.carried_state() }).unwrap();
        }),
    ];
    for (what, forget) in forgotten {
        assert_ne!(without(forget), whole, "{what}");
    }
}

#[test]
fn every_flipped_bit_shorter_and_longer_file_is_refused() {
    let mut network =
        Network::dense(&[3, 2, 2]).rule(Rule::classic()).build(&Device::flex()).unwrap();
    network.train_batch(&Momentum, input(2, 3, 1), vec![0, 1]).unwrap();
    for sound in [bytes_of(&network), checkpoint_of(&network)] {
        assert!(loaded(&sound).is_ok());
        let mut damaged = sound.clone();
        for bit in 0..8 * sound.len() {
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(loaded(&damaged).is_err(), "bit {bit} flipped");
            damaged[bit / 8] ^= 1 << (bit % 8);
        }
        for length in 0..sound.len() {
            assert!(loaded(&sound[..length]).is_err(), "cut to {length} bytes");
        }
        for appended in 1..=64u8 {
            damaged.push(appended ^ 0x55);
            assert!(loaded(&damaged).is_err(), "{appended} bytes appended");
        }
    }
}

#[test]
fn ten_thousand_random_edits_of_a_large_file_are_refused() {
    let network = Network::dense(&[784, 64, 784]).build(&Device::flex()).unwrap();
    let sound = bytes_of(&network);
    assert!(sound.len() > 400_000);
    let mut damaged = sound.clone();
    let mut random = Random::seeded(7);
    for _ in 0..10_000 {
        let places: Vec<usize> =
            (0..2 + random.below(30)).map(|_| random.below(sound.len())).collect();
        for &place in &places {
            damaged[place] = random.below(256) as u8;
        }
        // Edits may restore the original bytes.
        let refused = container::decode(&damaged).is_err();
        assert!(refused || damaged == sound);
        for place in places {
            damaged[place] = sound[place];
        }
    }
}

#[test]
fn a_sound_file_that_does_not_describe_a_network_is_refused() {
    let network = dense();
    let sound = Header::of(&network, &notes()).unwrap();
    let refused = |change: &dyn Fn(&mut Header), words: &[&str]| {
        let file = encode(&network, sound.clone(), DType::F32).unwrap().into_bytes();
        let container = container::decode(&file).unwrap();
        let mut header = Header::decode(container.description, container.tensors).unwrap();
        change(&mut header);
        let tensors = file[container.tensors_at..].to_vec();
        let forged = container::encode(&header.encode().unwrap(), tensors).unwrap().into_bytes();
        let error = loaded(&forged).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    refused(&|h| h.tensors[0].shape = [1 << 60, 1 << 60], &["countless"]);
    refused(&|h| h.tensors[0].shape = [4, 6], &["1.weight", "[4, 6]", "[6, 4]"]);
    refused(&|h| h.tensors[0].name = "9.weight".to_owned(), &["no tensor 1.weight"]);
    refused(&|h| h.tensors[1].name = h.tensors[0].name.clone(), &["two tensors", "1.weight"]);
    refused(&|h| h.tensors[0].dtype = DType::F16, &["promises"]);
    refused(&|h| h.tensors[1].purpose = Purpose::Optimizer, &["no tensor 3.weight"]);
    refused(&|h| h.layers.truncate(2), &["no layer has", "3.weight"]);
    refused(&|h| h.input_shape = vec![usize::MAX, 2], &["shape"]);
    refused(&|h| h.layers[1].config["units"] = (1u64 << 60).into(), &["1.weight"]);
    let conv = LayerRecord { kind: "conv9d".to_owned(), config: Value::Null };
    refused(&|h| h.layers[0] = conv.clone(), &["conv9d", "dense, dropout, embedding, gate"]);
}

#[test]
fn loading_into_a_network_is_all_or_nothing() {
    let (_folder, path) = saved(&dense());
    let mut same = Network::dense(&[6, 4, 6]).seed(8).build(&Device::flex()).unwrap();
    load_into(&mut same, &path).unwrap();
    let weights = |network: &Network| {
        let values = |(_, _, p): (_, _, &Parameter)| p.value().into_data();
        network.tensors().into_iter().map(values).collect::<Vec<_>>()
    };
    assert_eq!(weights(&same), weights(&dense()));

    let mut other = Network::builder(&[6])
        .layer(GateConfig::default())
        .layer(DenseConfig::new(5))
        .layer(BiasConfig::default())
        .build(&Device::flex())
        .unwrap();
    let before = bytes_of(&other);
    let error = load_into(&mut other, &path).unwrap_err().to_string();
    for part in ["1.weight is [6, 4]", "[6, 5]", "2.offset [1, 5] is missing", "no 3.weight"] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(bytes_of(&other), before);
}

#[test]
fn narrower_types_make_smaller_files_that_answer_nearly_the_same() {
    let network = Network::dense(&[784, 64, 10]).build(&Device::flex()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let answer = |network: &Network| network.predict(input(4, 784, 2)).unwrap();
    let mut sizes = Vec::new();
    for dtype in DType::ALL {
        let path = folder.path().join(dtype.name());
        save_as(&network, &notes(), dtype, &path).unwrap();
        let (again, _) = load(&path, &Device::flex()).unwrap();
        let apart = (answer(&again) - answer(&network)).abs().max().into_data();
        let apart = apart.iter::<f32>().next().unwrap();
        let largest = answer(&network).abs().max().into_data().iter::<f32>().next().unwrap();
        assert!(apart <= 0.02 * largest, "{dtype:?}: {apart} of {largest}");
        sizes.push(fs::metadata(&path).unwrap().len());
    }
    assert!(sizes[1] < sizes[0] * 52 / 100 && sizes[3] < sizes[0] * 28 / 100, "{sizes:?}");
}

#[test]
fn weights_are_views_of_what_was_read_until_they_change() {
    let (_folder, path) = saved(&dense());
    let (mut network, _) = load(&path, &Device::flex()).unwrap();
    let before = fs::read(&path).unwrap();
    let noise = Tensor::<2>::random([4, 6], Distribution::Default, &Device::flex());
    network.train_batch(&Momentum, noise.clone(), noise).unwrap();
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_ne!(bytes_of(&network), before);
}

#[cfg(feature = "ndarray")]
#[test]
#[allow(deprecated, reason = "burn keeps NdArray for users who need it, and so do we")]
fn a_model_of_one_device_answers_alike_on_another() {
    let numbers = |tensor: Tensor<2>| tensor.into_data().iter::<f32>().collect::<Vec<f32>>();
    let mut here = all_layers();
    train(&mut here, 1);
    let bytes = checkpoint_of(&here);
    let other = Device::ndarray();
    let (mut there, _) = load_bytes(&bytes, &other, &Registry::default()).unwrap();
    // Before and after a training step on the other device.
    for _ in 0..2 {
        let questions = input(5, 48, 2);
        let carried = Tensor::from_data(questions.clone().into_data(), &other);
        let answers = numbers(here.predict(questions.clone()).unwrap());
        let others = numbers(there.predict(carried.clone()).unwrap());
        for (answer, other) in answers.iter().zip(&others) {
            assert!((answer - other).abs() < 1e-5, "{answers:?} beside {others:?}");
        }
        let classes = vec![0, 1, 0, 1, 1];
        here.train_batch(&Momentum, questions, classes.clone()).unwrap();
        there.train_batch(&Momentum, carried, classes).unwrap();
    }
}

#[cfg(feature = "mmap")]
#[test]
fn a_mapped_network_answers_as_one_that_was_read() {
    let (_folder, path) = saved(&dense());
    // SAFETY: no other process uses the file.
    let mapped = unsafe { load_mapped(&path, &Device::flex(), &Registry::default()) };
    let (mut network, _) = mapped.unwrap();
    assert_eq!(bytes_of(&network), bytes_of(&dense()));
    let noise = Tensor::<2>::random([4, 6], Distribution::Default, &Device::flex());
    network.train_batch(&Momentum, noise.clone(), noise).unwrap();
    assert_eq!(load(&path, &Device::flex()).unwrap().0.n_parameters(), 48);
}

#[test]
fn errors_name_the_file_and_the_remedy() {
    let device = Device::flex();
    let (folder, path) = saved(&dense());
    let missing = folder.path().join("other.zor");
    for error in [load(&missing, &device).unwrap_err(), info(&missing).unwrap_err()] {
        assert!(error.to_string().contains("other.zor: there is no such file"));
        assert_eq!(error.kind(), ErrorKind::Input);
    }
    let error = load(folder.path(), &device).unwrap_err().to_string();
    assert!(error.contains("not a regular file"), "{error}");
    let mut newer = fs::read(&path).unwrap();
    newer[8] = 9;
    fs::write(&path, &newer).unwrap();
    for error in [load(&path, &device).unwrap_err(), info(&path).unwrap_err()] {
        assert!(error.to_string().contains("format version 9"), "{error}");
    }
}

#[test]
fn a_state_that_cannot_be_saved_is_said_before_anything_is_written() {
    let mut network = dense();
    let visited = network.for_each_tensor(|_, parameter| {
        let foreign: std::sync::Arc<dyn std::any::Any + Send + Sync> = std::sync::Arc::new(1);
        let state = OptimizerState { foreign: Some(foreign), ..OptimizerState::default() };
        parameter.set_state(state, 1).unwrap();
    });
    visited.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.zor");
    let error = save_checkpoint(&network, &notes(), progress(), &path).unwrap_err().to_string();
    assert!(error.contains("momentum") && error.contains("1.weight"), "{error}");
    assert!(!path.exists());
}

#[test]
fn resealed_garbage_never_panics() {
    let sound = checkpoint_of(&dense());
    let mut random = Random::seeded(5);
    for _ in 0..3000 {
        let mut bytes = sound.clone();
        for _ in 0..1 + random.below(6) {
            let place = random.below(bytes.len());
            bytes[place] = random.below(256) as u8;
        }
        reseal(&mut bytes);
        let _ = loaded(&bytes);
    }
}

fn safetensors_of(network: &Network) -> Vec<u8> {
    safetensors::encode(network, &notes()).unwrap()
}

#[test]
fn a_network_goes_to_safetensors_and_back() {
    let mut network = all_layers();
    train(&mut network, 1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    safetensors::save(&network, &notes(), safetensors::Sidecar::Sha256, &path).unwrap();
    let verified = safetensors::verify(&path).unwrap();
    assert!(verified.has_digest && verified.unchecked.is_empty(), "{verified:?}");
    let (again, header) = safetensors::load(&path, &Device::flex(), &Registry::default()).unwrap();
    assert_eq!(header.notes, notes());
    assert_eq!(bytes_of(&again), bytes_of(&network));
    assert_eq!(safetensors_of(&again), fs::read(&path).unwrap());
    let tensors = safetensors::info(&path).unwrap().tensors.into_iter();
    let found: Vec<(String, [usize; 2])> = tensors
        .map(|(name, tensor)| {
            assert_eq!(tensor.dtype, "f32");
            (name, [tensor.shape[0], tensor.shape[1]])
        })
        .collect();
    let mut expected: Vec<_> =
        network.tensors().into_iter().map(|(name, _, tensor)| (name, tensor.shape())).collect();
    expected.sort();
    assert_eq!(found, expected);

    let mut damaged = fs::read(&path).unwrap();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    fs::write(&path, &damaged).unwrap();
    let error = safetensors::verify(&path).unwrap_err().to_string();
    assert!(error.contains("model.safetensors.sha256"), "{error}");
    // A file saved over it without a digest is not compared with the old digest.
    safetensors::save(&network, &notes(), safetensors::Sidecar::None, &path).unwrap();
    assert!(!safetensors::verify(&path).unwrap().has_digest);
}

/// A tensor of a file of another program: its name, type, sizes and bytes.
type Foreign = (&'static str, Dtype, Vec<usize>, Vec<u8>);

/// A file of another program.
fn foreign(tensors: &[Foreign]) -> Vec<u8> {
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        (name.to_string(), TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    ::safetensors::serialize(views.collect::<Vec<_>>(), None).unwrap()
}

/// Tensors with finite values as other programs save them.
fn foreign_tensors() -> Vec<Foreign> {
    let ones = |n: usize| [1.5f32; 64][..n].iter().flat_map(|v| v.to_le_bytes()).collect();
    vec![
        ("conv1.weight", Dtype::F32, vec![2, 3, 2, 2], ones(24)),
        ("count", Dtype::I64, vec![], vec![255; 8]),
        ("empty", Dtype::F32, vec![0, 7], vec![]),
        ("mask", Dtype::BOOL, vec![3], vec![1, 0, 1]),
        ("scalar", Dtype::F32, vec![], ones(1)),
        ("double", Dtype::F64, vec![1, 2], [1.0f64, -2e300].map(f64::to_le_bytes).concat()),
        ("eight", Dtype::F8_E4M3, vec![2, 2], vec![0x7f; 4]),
        ("eight.scale", Dtype::F8_E8M0, vec![1], vec![0x7f]),
        ("four", Dtype::F4, vec![2, 4], vec![0; 4]),
        ("whole", Dtype::U8, vec![1, 2, 1], vec![0xff; 2]),
        ("complex", Dtype::C64, vec![1], ones(2)),
        ("half", Dtype::BF16, vec![2], vec![0, 0x3f, 0, 0x3f]),
    ]
}

#[test]
fn sound_files_of_other_programs_are_listed_and_found_sound() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.safetensors");
    let tensors = foreign_tensors();
    fs::write(&path, foreign(&tensors)).unwrap();
    let contents = safetensors::info(&path).unwrap();
    assert!(contents.metadata.is_empty());
    assert_eq!(contents.tensors.len(), tensors.len());
    for (name, dtype, shape, _) in &tensors {
        let found = &contents.tensors[*name];
        assert_eq!((&found.shape, &found.dtype), (shape, &format!("{dtype:?}").to_lowercase()));
    }
    let verified = safetensors::verify(&path).unwrap();
    assert_eq!(verified.unchecked, ["eight", "eight.scale", "four"]);
    assert!(!verified.has_digest);
    let none: [Foreign; 0] = [];
    fs::write(&path, foreign(&none)).unwrap();
    assert!(safetensors::verify(&path).unwrap().unchecked.is_empty());
}

#[test]
fn values_that_are_not_finite_are_found_in_every_type_that_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.safetensors");
    let bad: [(Dtype, Vec<u8>); 5] = [
        (Dtype::F32, f32::NAN.to_le_bytes().to_vec()),
        (Dtype::F64, f64::INFINITY.to_le_bytes().to_vec()),
        (Dtype::F16, half::f16::NEG_INFINITY.to_le_bytes().to_vec()),
        (Dtype::BF16, half::bf16::NAN.to_le_bytes().to_vec()),
        (Dtype::C64, [0.0, f32::NAN].map(f32::to_le_bytes).concat()),
    ];
    for (dtype, bytes) in bad {
        let mut tensors = foreign_tensors();
        tensors.push(("bad", dtype, vec![1, 1, 1], bytes));
        fs::write(&path, foreign(&tensors)).unwrap();
        let error = safetensors::verify(&path).unwrap_err().to_string();
        let named = error.contains("other.safetensors") && error.contains("of bad is");
        assert!(named, "{dtype:?}: {error}");
    }
}

#[test]
fn tensors_that_no_network_takes_are_refused_by_name() {
    let mut network = dense();
    let before = bytes_of(&network);
    let error = safetensors::fill(&mut network, &foreign(&foreign_tensors())).unwrap_err();
    for part in [
        "conv1.weight is [2, 3, 2, 2], count is of type i64",
        "double is of type f64",
        "and 2 more like these; Zor's tensors are matrices or vectors of f32, f16 or bf16",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let kernel = ("conv1.weight", Dtype::F32, vec![64, 3, 7, 7], vec![0; 4 * 64 * 3 * 49]);
    let error = safetensors::fill(&mut network, &foreign(&[kernel])).unwrap_err();
    assert!(error.contains("conv1.weight is [64, 3, 7, 7]; Zor's tensors are"), "{error}");
    let scalar = ("0.offset", Dtype::F32, vec![], vec![0; 4]);
    let error = safetensors::fill(&mut network, &foreign(&[scalar])).unwrap_err();
    assert!(error.contains("0.offset is []; Zor's tensors are"), "{error}");
    assert_eq!(bytes_of(&network), before);
    // Without them, the rest of the file still does not fit.
    let empty = foreign(&[("1.weight", Dtype::F32, vec![0, 4], vec![])]);
    let error = safetensors::fill(&mut network, &empty).unwrap_err();
    assert!(error.contains("1.weight is [0, 4]") && error.contains("[6, 4]"), "{error}");
    let load = safetensors::load_bytes(&empty, &Device::flex(), &Registry::default());
    assert!(load.unwrap_err().to_string().contains("--like"));
}

#[test]
fn digests_beside_a_file_are_those_of_sha256sum_or_named() {
    let folder = tempfile::tempdir().unwrap();
    // With such a name, a backslash stands before the digest.
    let names = if cfg!(unix) { vec!["a.safetensors", "b\\\n.safetensors"] } else { vec!["a"] };
    for name in names {
        let path = folder.path().join(name);
        safetensors::save(&dense(), &notes(), safetensors::Sidecar::Sha256, &path).unwrap();
        assert!(safetensors::verify(&path).unwrap().has_digest);
        let beside = folder.path().join(format!("{name}.sha256"));
        let line = fs::read_to_string(&beside).unwrap();
        assert_eq!(line.starts_with('\\'), name.contains('\\'), "{line}");
        assert_eq!(line.lines().count(), 1);
        fs::write(&beside, line.to_uppercase()).unwrap();
        assert!(safetensors::verify(&path).unwrap().has_digest);
        for damaged in ["", "  \n", "not a digest", &line[..63], &format!("0{line}")] {
            fs::write(&beside, damaged).unwrap();
            let error = safetensors::verify(&path).unwrap_err().to_string();
            let says = error.contains(".sha256: it does not begin with a SHA-256 digest");
            assert!(says, "{damaged:?}: {error}");
        }
        fs::write(&beside, [0xff; 100]).unwrap();
        assert!(safetensors::verify(&path).is_err());
    }
}

#[test]
fn tensors_from_elsewhere_fill_a_network_or_leave_it_alone() {
    let network = || {
        let builder =
            Network::builder(&[2]).layer(DenseConfig::new(3)).layer(BiasConfig::default());
        builder.build(&Device::flex()).unwrap()
    };
    let halves: Vec<u8> =
        (0..6u8).flat_map(|n| half::f16::from_f32(f32::from(n)).to_le_bytes()).collect();
    let offset: Vec<u8> = [0.5f32, 1.5, 2.5].iter().flat_map(|n| n.to_le_bytes()).collect();
    let weight = ("0.weight", Dtype::F16, vec![2, 3], halves.clone());
    let bytes = foreign(&[weight, ("1.offset", Dtype::F32, vec![3], offset.clone())]);
    let mut filled = network();
    safetensors::fill(&mut filled, &bytes).unwrap();
    let answer = filled.predict(Tensor::ones([1, 2], &Device::flex())).unwrap().into_data();
    assert_eq!(answer.iter::<f32>().collect::<Vec<_>>(), [3.5, 6.5, 9.5]);

    let mut other = network();
    let before = bytes_of(&other);
    let wrong = ("0.weight", Dtype::F16, vec![3, 2], halves);
    let bytes = foreign(&[wrong, ("1.bias", Dtype::F32, vec![3], offset)]);
    let error = safetensors::fill(&mut other, &bytes).unwrap_err();
    for part in ["0.weight is [3, 2]", "[2, 3]", "1.offset [1, 3] is missing", "no 1.bias"] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(bytes_of(&other), before);
}

#[test]
fn values_that_are_no_numbers_are_found() {
    let mut network = dense();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.zor");
    save(&network, &notes(), &path).unwrap();
    assert_eq!(verify(&path).unwrap().n_parameters(), 48);
    let visited = network.for_each_tensor(|name, tensor| {
        if name == "3.weight" {
            tensor.set_value(tensor.value() * f32::NAN).unwrap();
        }
    });
    visited.unwrap();
    save(&network, &notes(), &path).unwrap();
    let error = verify(&path).unwrap_err().to_string();
    assert!(error.contains("3.weight") && error.contains("NaN"), "{error}");
    // The file loads and is written again bit for bit.
    let (again, _) = load(&path, &Device::flex()).unwrap();
    assert_eq!(bytes_of(&again), fs::read(&path).unwrap());
    // Smaller types store finite values only.
    for dtype in [DType::F16, DType::Bf16, DType::I8] {
        let narrow = folder.path().join(dtype.name());
        let error = save_as(&network, &notes(), dtype, &narrow).unwrap_err().to_string();
        let says = error.contains(dtype.name()) && error.contains("3.weight: value 0 is NaN");
        assert!(says && !narrow.exists(), "{error}");
    }
    let elsewhere = folder.path().join("model.safetensors");
    safetensors::save(&network, &notes(), safetensors::Sidecar::None, &elsewhere).unwrap();
    let error = safetensors::verify(&elsewhere).unwrap_err().to_string();
    assert!(error.contains("of 3.weight is NaN"), "{error}");
}

#[test]
fn values_beyond_a_narrow_type_are_named_with_their_tensor() {
    let mut network = dense();
    network
        .for_each_tensor(|name, tensor| {
            if name == "3.weight" {
                tensor.set_value(tensor.value() * 0.0 + 3.4e38).unwrap();
            }
        })
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.zor");
    for dtype in [DType::F16, DType::Bf16] {
        let error = save_as(&network, &notes(), dtype, &path).unwrap_err().to_string();
        let says = error.contains("3.weight: 34") && error.contains("beyond the range of");
        assert!(says && error.contains(dtype.name()) && !path.exists(), "{error}");
    }
    save_as(&network, &notes(), DType::I8, &path).unwrap();
    verify(&path).unwrap();
}

#[test]
fn a_layer_under_the_name_of_one_of_zors_is_refused_when_a_model_is_loaded() {
    let (_folder, path) = saved(&dense());
    let registry = Registry::default().with::<BiasConfig>("dense");
    let error = load_with(&path, &Device::flex(), &registry).unwrap_err().to_string();
    assert!(error.contains("model.zor") && error.contains("'dense' is Zor's own"), "{error}");
    let registry = Registry::default().with::<BiasConfig>("mine");
    assert!(load_with(&path, &Device::flex(), &registry).is_ok());
}

/// A file of every format version, with predictions from when it was written.
const GOLDEN: [(&[u8], [f32; 4]); 1] = [(include_bytes!("../golden/version-1.zor"), ANSWER_1)];
const ANSWER_1: [f32; 4] = [0.964_227, -0.259_937_76, 0.005_919_290_7, -0.150_925_17];

#[test]
fn files_of_every_format_version_load_and_answer_as_they_did() {
    assert_eq!(GOLDEN.len(), container::VERSION as usize);
    for (bytes, expected) in GOLDEN {
        let (mut network, header) = loaded(bytes).unwrap();
        let answer = |network: &Network| -> Vec<f32> {
            network.predict(input(2, 48, 9)).unwrap().into_data().iter::<f32>().collect()
        };
        let found = answer(&network);
        let near = |(found, expected): (&f32, f32)| (found - expected).abs() < 1e-5;
        assert!(found.iter().zip(expected).all(near), "{found:?}");
        // Its history is one minus the mean absolute error of each step.
        let history = network.history();
        assert!(history.len() == 3 && history.iter().all(|mae| (0.0..1.0).contains(mae)));
        // It is a checkpoint, so that training resumes.
        assert_eq!(header.progress.unwrap().step, 3);
        assert!(train(&mut network, 3).is_finite());
        assert!(answer(&network).iter().all(|value| value.is_finite()));
    }
}

/// Writes the golden file of the current format version, once: `cargo test -p zor-io -- --ignored`.
#[test]
#[ignore = "writes a file that is kept for ever"]
fn write_the_golden_file() {
    let mut network = all_layers();
    for seed in 0..3 {
        train(&mut network, seed);
    }
    let path = format!("{}/golden/version-{}.zor", env!("CARGO_MANIFEST_DIR"), container::VERSION);
    assert!(!fs::exists(&path).unwrap(), "{path} is there already");
    fs::write(path, checkpoint_of(&network)).unwrap();
    println!("{:?}", network.predict(input(2, 48, 9)).unwrap().into_data());
}

#[test]
fn a_network_for_sequences_is_loaded_as_it_was() {
    let block = BranchConfig::residual()
        .layer(RmsNormConfig::default())
        .layer(DenseConfig::new(24))
        .layer(SpikeAttentionConfig { threshold: 0.1, ..SpikeAttentionConfig::new(2) })
        .layer(DenseConfig::new(8));
    let config = TiedEmbeddingConfig::new(7, 8).skip_prefix().layer(block);
    let builder = Network::builder(&[1]).seed(5).layer(config);
    let network = builder.build(&Device::flex()).unwrap();
    let (loaded, _) = loaded(&bytes_of(&network)).unwrap();
    let sequences = Sequences::new(vec![1, 2, 6, 0, 3], &[3, 2]).unwrap();
    let sequences = sequences.with_prefixes(&[1, 0]).unwrap();
    let outputs = [&network, &loaded].map(|network| {
        let mut workspace = Workspace::new(&Device::flex());
        let output = network.predict_in(&sequences, &mut workspace).unwrap();
        zor_core::ops::read(output).unwrap()
    });
    assert_eq!(outputs[0].len(), 4 * 7);
    assert_eq!(outputs[0], outputs[1]);
}

#[test]
fn embeddings_are_loaded_as_they_were_and_train_on_alike() {
    let build = |vocabulary| {
        let layers = Network::builder(&[1]).layer(EmbeddingConfig::new(vocabulary, 4));
        layers.layer(DenseConfig::new(3)).seed(5).build(&Device::flex()).unwrap()
    };
    let mut network = build(7);
    let (mut loaded, _) = loaded(&bytes_of(&network)).unwrap();
    let parameters = loaded.layers()[0].parameters();
    assert_eq!((parameters[0].name(), parameters[0].shape()), ("embedding", [7, 4]));
    assert!(parameters[0].has_independent_rows());
    let sequences = Sequences::new(vec![1, 2, 6, 0, 2], &[3, 2]).unwrap();
    let answer = |network: &Network| zor_core::ops::read(network.predict(&sequences).unwrap());
    for _ in 0..2 {
        assert_eq!(answer(&network).unwrap(), answer(&loaded).unwrap());
        for network in [&mut network, &mut loaded] {
            network.train_batch(&Momentum, &sequences, vec![0, 1, 2, 0, 1]).unwrap();
        }
    }
    assert_ne!(answer(&network).unwrap(), answer(&build(7)).unwrap());
}
