//! What is fed.

use zor::data::{cifar10, idx, npy};
use zor::io::{self, Registry};
use zor::options::{Options, Settings};
use zor::prelude::Device;

/// A parser of bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// What it is called.
    pub name: &'static str,
    /// Parses, and says whether the input was taken; refusing it is as good.
    pub parse: fn(&[u8]) -> bool,
    /// The most that input of a length may allocate.
    pub limit: fn(usize) -> usize,
}

/// A file of a network may take its length, its values as f32 where it has narrower ones, and what its description (of at most a mebibyte)
/// becomes as text, as JSON and as settings.
fn network_limit(length: usize) -> usize {
    6 * length + (64 << 20)
}

/// Its length twice: as it is, and as values.
fn data_limit(length: usize) -> usize {
    2 * length + (1 << 20)
}

/// All of them.
pub const TARGETS: [Target; 7] = [
    Target { name: "model", parse: model, limit: network_limit },
    Target { name: "checkpoint", parse: model, limit: network_limit },
    Target { name: "safetensors", parse: safetensors, limit: network_limit },
    // What gzip makes of a file is at most 1,032 times as long.
    Target { name: "idx", parse: images, limit: |length| 1032 * length + (1 << 20) },
    Target { name: "cifar", parse: cifar, limit: data_limit },
    Target { name: "npy", parse: array, limit: data_limit },
    Target { name: "toml", parse: settings, limit: |length| 1000 * length + (1 << 20) },
];

fn model(input: &[u8]) -> bool {
    let device = Device::flex();
    let registry = Registry::default();
    if io::load_bytes(input, &device, &registry).is_ok() {
        return true;
    }
    // With the digest made right, damage reaches what comes after it.
    let mut sealed = input.to_vec();
    io::reseal(&mut sealed);
    io::load_bytes(&sealed, &device, &registry).is_ok()
}

fn safetensors(input: &[u8]) -> bool {
    io::safetensors::load_bytes(input, &Device::flex(), &Registry::default()).is_ok()
}

fn images(input: &[u8]) -> bool {
    let (images, labels) = (idx::images(input), idx::labels(input));
    images.is_ok() || labels.is_ok()
}

fn cifar(input: &[u8]) -> bool {
    cifar10::parse(input).is_ok()
}

fn array(input: &[u8]) -> bool {
    npy::parse(input).is_ok()
}

fn settings(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    toml::from_str::<Options>(text).is_ok_and(|options| Settings::resolve(&options).is_ok())
}
