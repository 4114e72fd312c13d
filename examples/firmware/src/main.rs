//! A network in the flash memory of a Cortex-M4. It reconstructs ten images, and a second network
//! learns them from scratch, without heap.
//!
//! `cargo xtask edge` builds it and runs it in QEMU; on a host,
//! `cargo run --release -p zor-firmware` runs the same program.

#![cfg_attr(target_os = "none", no_std)]
#![cfg_attr(target_os = "none", no_main)]

#[cfg_attr(target_os = "none", path = "cortex_m.rs")]
#[cfg_attr(not(target_os = "none"), path = "host.rs")]
mod board;

use board::{instructions, print};
use zor_edge::{Learner, Network, Optimizer, Rule, Target, state_len, weights_len};

/// Program from `zor train fashion-reconstruction --train-samples all`, then `zor export --int8`.
static PROGRAM: &[u8] = zor_edge::include_program!("../model.zore");
/// The first training image of each class, 28x28 bytes each.
static SAMPLES: &[u8] = include_bytes!("../samples.bin");

const PIXELS: usize = 784;
/// Length of the network's scratch memory, which `zor export` prints.
const SCRATCH: usize = 212;

const WIDTHS: [usize; 3] = [PIXELS, 64, PIXELS];
const BATCH: usize = 10;
/// Number of training steps, enough to show progress. The classic preset has 500.
const STEPS: usize = 20;

/// All buffers. On a device they are in static memory, not on the stack.
struct Memory {
    input: [f32; PIXELS],
    output: [f32; PIXELS],
    scratch: [f32; SCRATCH],
    samples: [f32; BATCH * PIXELS],
    weights: [f32; weights_len(&WIDTHS)],
    state: [f32; state_len(&WIDTHS, BATCH, &Optimizer::CLASSIC)],
}

impl Memory {
    const EMPTY: Self = Self {
        input: [0.0; PIXELS],
        output: [0.0; PIXELS],
        scratch: [0.0; SCRATCH],
        samples: [0.0; BATCH * PIXELS],
        weights: [0.0; weights_len(&WIDTHS)],
        state: [0.0; state_len(&WIDTHS, BATCH, &Optimizer::CLASSIC)],
    };
}

fn run(memory: &mut Memory) -> Result<(), &'static str> {
    let (before, network) = (instructions(), Network::from_bytes(PROGRAM));
    let network = network.map_err(|_| "the program is not valid")?;
    print("image of bytes", PROGRAM.len() as u64);
    print("checked in instructions", instructions() - before);
    print("input and output, bytes", 4 * 2 * PIXELS as u64);
    print("scratch memory, bytes", 4 * SCRATCH as u64);

    let mut psnr = 0.0;
    let (mut most, mut stack) = (0, 0);
    for sample in SAMPLES.chunks_exact(PIXELS) {
        fill(&mut memory.input, sample);
        board::paint_stack();
        let before = instructions();
        network
            .run(&memory.input, &mut memory.output, &mut memory.scratch)
            .map_err(|_| "the memory does not fit the network")?;
        most = most.max(instructions() - before);
        stack = stack.max(board::stack_used());
        psnr += psnr_db(&memory.input, &memory.output) / BATCH as f32;
    }
    print("reconstruction of ten images, thousandths of a dB", (1000.0 * psnr) as u64);
    print("an image, instructions at most", most);
    print("an image, bytes of stack at most", stack);

    memory.samples.iter_mut().zip(SAMPLES).for_each(|(to, byte)| *to = f32::from(*byte) / 255.0);
    let Memory { weights, state, samples, .. } = memory;
    print("weights that learn, bytes", 4 * weights.len() as u64);
    print("state of learning, bytes", 4 * state.len() as u64);
    let learner = Learner::new(&WIDTHS, BATCH, Rule::CLASSIC, Optimizer::CLASSIC, weights, state);
    let mut learner = learner.map_err(|_| "the memory does not fit the learner")?;
    learner.draw_weights(0);
    for step in 1..=STEPS {
        let before = instructions();
        let error =
            learner.learn(samples, Target::Values(samples)).map_err(|_| "it cannot learn")?;
        if step == 1 || step == STEPS {
            print("a step, instructions", instructions() - before);
            print("mean absolute error, millionths", (1e6 * error) as u64);
        }
    }
    Ok(())
}

fn fill(input: &mut [f32; PIXELS], sample: &[u8]) {
    input.iter_mut().zip(sample).for_each(|(to, byte)| *to = f32::from(*byte) / 255.0);
}

fn psnr_db(a: &[f32], b: &[f32]) -> f32 {
    let sum: f32 = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum();
    -10.0 * libm::log10f(sum / a.len() as f32)
}

#[cfg(not(target_os = "none"))]
fn main() -> Result<(), &'static str> {
    let mut memory = Box::new(Memory::EMPTY);
    run(&mut memory)
}
