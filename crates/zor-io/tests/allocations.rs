//! What a hostile file can make reading it allocate. A process of its own, whose allocator counts.

#![allow(clippy::unwrap_used, reason = "an unwrap in a test is an assertion")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use zor_core::burn::tensor::Device;
use zor_core::{Network, Random};
use zor_io::Registry;

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all memory comes from the system's allocator, unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller keeps the promises that this one asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a file may cost beside its own length: its description, at most a mebibyte, as text, as
/// JSON and as settings.
const CONSTANT: usize = 64 << 20;

/// The most memory that reading takes.
fn taken(bytes: &[u8]) -> usize {
    let before = NOW.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let _ = zor_io::load_bytes(bytes, &Device::flex(), &Registry::default());
    MOST.load(Ordering::Relaxed) - before
}

#[test]
fn no_file_takes_more_than_its_length_and_a_constant() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.zor");
    let network = Network::dense(&[2000, 1500, 2000]).build(&Device::flex()).unwrap();
    zor_io::save(&network, &BTreeMap::new(), &path).unwrap();
    let large = std::fs::read(&path).unwrap();
    drop(network);
    // Views of what was read: a copy of the weights would be another 24 MB.
    let most = taken(&large);
    assert!(most < large.len() + (1 << 20), "{most} for {}", large.len());

    let network = Network::dense(&[6, 4, 6]).build(&Device::flex()).unwrap();
    zor_io::save(&network, &BTreeMap::new(), &path).unwrap();
    let small = std::fs::read(&path).unwrap();
    let mut random = Random::seeded(1);
    let forged = [1u64 << 20, 1 << 32, 1 << 40, 1 << 60, u64::MAX];
    for round in 0..20_000 {
        let mut bytes = small.clone();
        // Numbers of nine bytes begin with 253 where bincode writes one.
        let number = forged[random.below(forged.len())].to_le_bytes();
        let at = random.below(bytes.len() - 9);
        if round % 2 == 0 {
            bytes[at..at + 8].copy_from_slice(&number);
        } else {
            bytes[at] = 253;
            bytes[at + 1..at + 9].copy_from_slice(&number);
        }
        zor_io::reseal(&mut bytes);
        let most = taken(&bytes);
        assert!(most <= bytes.len() + CONSTANT, "{most} bytes, forged at {at}");
    }
}
