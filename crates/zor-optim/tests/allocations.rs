//! Training of a dense network at a constant batch size allocates no buffer. The remaining
//! allocations are the handles that burn creates when a tensor is shared, and the packing space of
//! the matrix products: that of gemm is identified by its alignment, and what else products
//! allocate is measured separately and subtracted.

#![allow(clippy::unwrap_used, reason = "an unwrap in a test is an assertion")]
#![cfg(feature = "flex")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use zor_core::burn::tensor::{Device, Tensor, TensorData};
use zor_core::ops::{self, Transposed};
use zor_core::{
    EmbeddingConfig, Input, Network, Optimizer, Parameter, Random, RmsNormConfig, Rule, Sequences,
    TiedEmbeddingConfig, Workspace,
};
use zor_optim::{AdamW, Muon, Sgd};

/// Counts the bytes that any thread allocates, except the packing space of gemm, which depends on
/// the vectors of the machine.
struct Counting;

/// Alignment in bytes of the packing space of gemm; tensors have a smaller one.
const ALIGNED: usize = 128;

static BYTES: AtomicUsize = AtomicUsize::new(0);

const ROWS: usize = 64;
/// Size of the smallest buffer of the networks below: a layer of 64 units, 4 bytes each.
const SMALLEST_BUFFER: usize = ROWS * 64 * 4;

// SAFETY: every call is forwarded to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() < ALIGNED {
            BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        }
        // SAFETY: the caller upholds the contract of the system allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `alloc` above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes allocated per call over many calls, after the first have created the buffers.
fn bytes_per_call(mut call: impl FnMut()) -> usize {
    const CALLS: usize = 40;
    (0..CALLS).for_each(|_| call());
    let before = BYTES.load(Ordering::Relaxed);
    (0..CALLS).for_each(|_| call());
    (BYTES.load(Ordering::Relaxed) - before) / CALLS
}

fn random(shape: [usize; 2]) -> Tensor<2> {
    let mut random = Random::seeded(1);
    Parameter::normal("random", shape, 1.0, &mut random, &Device::flex()).value()
}

fn training(rule: Rule, optimizer: &dyn Optimizer, sizes: &[usize]) -> usize {
    let mut network = Network::dense(sizes).rule(rule).build(&Device::flex()).unwrap();
    let input = random([ROWS, sizes[0]]);
    bytes_per_call(|| {
        network.train_batch(optimizer, input.clone(), input.clone()).unwrap();
    })
}

/// Only the matrix products of the same step, into existing buffers.
fn products(orthogonal: bool, sizes: &[usize]) -> usize {
    let mut workspace = Workspace::new(&Device::flex());
    let pairs = || sizes.windows(2).map(|pair| [pair[0], pair[1]]);
    bytes_per_call(|| {
        for (index, [inputs, outputs]) in pairs().enumerate() {
            let (x, w, s) =
                (random([ROWS, inputs]), random([inputs, outputs]), random([ROWS, outputs]));
            let mut product = |left: &Tensor<2>, right: &Tensor<2>, shape, transposed| {
                let buffer = workspace.take(shape);
                let made = BYTES.load(Ordering::Relaxed);
                let result = ops::matmul(left.clone(), right.clone(), buffer, transposed);
                workspace.give(result);
                PRODUCTS.fetch_add(BYTES.load(Ordering::Relaxed) - made, Ordering::Relaxed);
            };
            product(&x, &w, [ROWS, outputs], Transposed::Neither);
            product(&x, &s, [inputs, outputs], Transposed::Left);
            if index > 0 {
                product(&s, &w, [ROWS, inputs], Transposed::Right);
            }
            if orthogonal {
                let made = BYTES.load(Ordering::Relaxed);
                let result = zor_optim::orthogonalize(w, 5, &mut workspace);
                workspace.give(result);
                PRODUCTS.fetch_add(BYTES.load(Ordering::Relaxed) - made, Ordering::Relaxed);
            }
        }
    });
    let bytes = PRODUCTS.swap(0, Ordering::Relaxed);
    bytes / 80
}

/// Bytes that the products allocated.
static PRODUCTS: AtomicUsize = AtomicUsize::new(0);

/// Batches of tokens, some of which occur several times: as sequences, and as values.
fn batches(rows: usize) -> [Vec<Input>; 2] {
    let tokens = |batch: usize| (0..rows).map(move |row| (row * row % (50 + batch)) as u32);
    let sequences = |batch| {
        let tokens: Vec<u32> = tokens(batch).collect();
        Sequences::new(tokens, &[rows / 4, rows / 2, rows / 4]).unwrap().into()
    };
    let values = |batch| {
        let tokens: Vec<f32> = tokens(batch).map(|token| token as f32).collect();
        Tensor::<2>::from_data(TensorData::new(tokens, [rows, 1]), &Device::flex()).into()
    };
    [(0..4).map(sequences).collect(), (0..4).map(values).collect()]
}

/// Bytes of a step with embeddings, tied or not.
fn with_embeddings(is_tied: bool, optimizer: &dyn Optimizer, batches: &[Input]) -> usize {
    let builder = Network::builder(&[1]).rule(Rule::backprop());
    let builder = match is_tied {
        true => builder.layer(TiedEmbeddingConfig::new(512, 64).layer(RmsNormConfig::default())),
        false => builder.layer(EmbeddingConfig::new(512, 64)).layer(RmsNormConfig::default()),
    };
    let mut network = builder.build(&Device::flex()).unwrap();
    let mut batches = batches.iter().cycle();
    bytes_per_call(|| {
        let input = batches.next().unwrap().clone();
        let classes = vec![3; ROWS];
        network.train_batch(optimizer, input, classes).unwrap();
    })
}

/// One test, since the counters are shared.
#[test]
fn a_steady_step_allocates_no_buffer() {
    let buffer = || drop(Tensor::<2>::zeros([ROWS, 64], &Device::flex()));
    assert!(bytes_per_call(buffer) >= SMALLEST_BUFFER, "buffers are not counted");
    let optimizers: [&dyn Optimizer; 3] = [&AdamW::default(), &Muon::new(0.01), &Sgd::new(0.01)];
    for sizes in [&[784, 64, 784][..], &[200, 128, 64, 200]] {
        for optimizer in optimizers {
            let name = optimizer.name();
            let products = products(name == "muon", sizes);
            for rule in [Rule::classic(), Rule::default()] {
                let bytes = training(rule, optimizer, sizes);
                println!("{sizes:?} {name}: {bytes} bytes a step, products {products}");
                let rest = bytes.saturating_sub(products);
                assert!(rest < SMALLEST_BUFFER, "{sizes:?} {name}: {rest} bytes beside products");
            }
        }
    }
    for (batches, form) in batches(ROWS).iter().zip(["sequences", "values"]) {
        for optimizer in optimizers {
            let [tied, own] = [true, false].map(|tied| with_embeddings(tied, optimizer, batches));
            let name = optimizer.name();
            println!("embeddings of {form}, {name}: {own} bytes a step, tied {tied}");
            let most = tied.min(SMALLEST_BUFFER);
            assert!(own < most, "{form}, {name}: {own} bytes a step, tied {tied}");
        }
    }
}
