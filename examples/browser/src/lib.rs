//! Functions that the page `index.html` calls: a trained network, one that learns ten images in the
//! browser, and a detector that learns how the pointer moves.
//!
//! The interface is plain C: functions take and return numbers, and pointers to `f32` that the page
//! reads and writes. `cargo xtask edge` builds this crate for WebAssembly and writes a single page
//! that needs no server.
#![allow(unsafe_code, reason = "exports names that the page calls")]

mod motion;

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use zor_edge::{Learner, Network, Optimizer, Rule, Target, Values, state_len, weights_len};

/// Program from `zor train fashion-reconstruction --train-samples all --target-spike-rate 0.25`,
/// then `zor export --int8`.
static PROGRAM: &[u8] = zor_edge::include_program!("../model.zore");
/// The first training image of each class, 28x28 bytes each.
static SAMPLES: &[u8] = include_bytes!("../../firmware/samples.bin");

const PIXELS: usize = 784;
const HIDDEN: usize = 64;
const CLASSES: usize = 10;
const WIDTHS: [usize; 3] = [PIXELS, HIDDEN, PIXELS];

/// State of the page.
struct Page {
    input: Vec<f32>,
    hidden: Vec<f32>,
    output: Vec<f32>,
    samples: Vec<f32>,
    /// Share of the last input that was not silent, from 0 to 1.
    active: f32,
    learner: Learner<'static>,
    /// Program of the network that learns here, as words for its alignment.
    learned: Vec<u32>,
}

static PAGE: LazyLock<Mutex<Page>> = LazyLock::new(|| Mutex::new(Page::new()));

fn page() -> MutexGuard<'static, Page> {
    PAGE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Page {
    fn new() -> Self {
        let mut page = Self {
            input: vec![0.0; PIXELS],
            hidden: vec![0.0; HIDDEN],
            output: vec![0.0; PIXELS],
            samples: SAMPLES.iter().map(|byte| f32::from(*byte) / 255.0).collect(),
            active: 0.0,
            learner: learner(),
            learned: Vec::new(),
        };
        page.keep();
        page
    }

    /// Writes the learned network as a program.
    fn keep(&mut self) {
        let mut bytes = Vec::new();
        if self.learner.write_program(|piece| bytes.extend_from_slice(piece)).is_ok() {
            let words = bytes.as_chunks::<4>().0;
            self.learned = words.iter().map(|word| u32::from_ne_bytes(*word)).collect();
        }
    }

    fn run(&mut self, learned: bool) -> bool {
        let image = if learned { bytemuck::cast_slice(&self.learned) } else { PROGRAM };
        let Ok(network) = Network::from_bytes(image) else { return false };
        let mut scratch = vec![0.0; network.scratch_len()];
        let (hidden, active) = (&mut self.hidden, &mut self.active);
        let done = network.run_traced(&self.input, &mut self.output, &mut scratch, |activity| {
            if activity.input.len() == PIXELS && activity.output.len() == HIDDEN {
                *active = activity.input.active() as f32 / PIXELS as f32;
                read(activity.output, hidden);
            }
        });
        done.is_ok()
    }
}

fn read(values: Values<'_>, to: &mut [f32]) {
    to.iter_mut().enumerate().for_each(|(at, to)| *to = values.get(at).unwrap_or(0.0));
}

/// Returns an untrained learner. Its memory is leaked and lives as long as the page.
fn learner() -> Learner<'static> {
    let weights = vec![0.0; weights_len(&WIDTHS)].leak();
    let state = vec![0.0; state_len(&WIDTHS, CLASSES, &Optimizer::CLASSIC)].leak();
    match Learner::new(&WIDTHS, CLASSES, Rule::CLASSIC, Optimizer::CLASSIC, weights, state) {
        Ok(mut learner) => {
            learner.draw_weights(0);
            learner
        }
        Err(error) => unreachable!("widths and memory are constants that fit: {error}"),
    }
}

/// Returns the buffer where the page writes an image: 784 values from 0 to 1.
#[unsafe(no_mangle)]
pub extern "C" fn input() -> *mut f32 {
    page().input.as_mut_ptr()
}

/// Returns the 64 values of the hidden layer; those of units that did not fire are zero.
#[unsafe(no_mangle)]
pub extern "C" fn hidden() -> *const f32 {
    page().hidden.as_ptr()
}

/// Returns the 784 values of the reconstruction.
#[unsafe(no_mangle)]
pub extern "C" fn output() -> *const f32 {
    page().output.as_ptr()
}

/// Returns the ten images, 784 values each.
#[unsafe(no_mangle)]
pub extern "C" fn samples() -> *const f32 {
    page().samples.as_ptr()
}

/// Returns the share of the last input that was not silent, from 0 to 1.
#[unsafe(no_mangle)]
pub extern "C" fn active() -> f32 {
    page().active
}

/// Runs the trained network (0) or the one that learns here (1). Returns 1 on success, else 0.
#[unsafe(no_mangle)]
pub extern "C" fn run(learned: u32) -> u32 {
    u32::from(page().run(learned != 0))
}

/// Learns from the ten images for a number of steps. Returns the mean absolute error before the
/// last step, or NaN on failure.
#[unsafe(no_mangle)]
pub extern "C" fn learn(steps: u32) -> f32 {
    let page = &mut *page();
    let samples = &page.samples;
    let mut error = 0.0;
    for _ in 0..steps {
        error = page.learner.learn(samples, Target::Values(samples)).unwrap_or(f32::NAN);
    }
    page.keep();
    error
}

/// Resets the network that learns here to its initial weights.
#[unsafe(no_mangle)]
pub extern "C" fn forget() {
    let page = &mut *page();
    // The earlier memory stays leaked; a page is reset only a few times.
    page.learner = learner();
    page.keep();
}

/// Takes the place of the pointer, 50 times a second. Returns the score of a complete window; NaN
/// if there is none or the detector is learning.
#[unsafe(no_mangle)]
pub extern "C" fn motion_move(x: f32, y: f32) -> f32 {
    motion::motion().move_to([x, y])
}

/// Takes training steps if they are due. Returns 1 if more are, else 0.
#[unsafe(no_mangle)]
pub extern "C" fn motion_train(steps: u32) -> u32 {
    let mut motion = motion::motion();
    motion.train(steps);
    u32::from(motion.is_training())
}

/// Returns the share of the windows that are needed until the detector is ready, from 0 to 1.
#[unsafe(no_mangle)]
pub extern "C" fn motion_progress() -> f32 {
    motion::motion().progress()
}

/// Returns 1 if the last motion was strange, else 0.
#[unsafe(no_mangle)]
pub extern "C" fn motion_strange() -> u32 {
    u32::from(motion::motion().is_strange())
}

/// Returns the score above which a window of motion is strange.
#[unsafe(no_mangle)]
pub extern "C" fn motion_threshold() -> f32 {
    motion::motion().threshold()
}

/// Forgets how the pointer moves.
#[unsafe(no_mangle)]
pub extern "C" fn motion_forget() {
    *motion::motion() = motion::Motion::new();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trained_network_reconstructs_and_the_other_learns_to() {
        let mut page = Page::new();
        page.input = page.samples[..PIXELS].to_vec();
        let error = |page: &Page| -> f32 {
            page.input.iter().zip(&page.output).map(|(a, b)| (a - b).abs()).sum::<f32>()
                / PIXELS as f32
        };
        assert!(page.run(false));
        assert!(error(&page) < 0.15, "{}", error(&page));
        assert!(page.hidden.contains(&0.0));
        assert!(page.run(true));
        let before = error(&page);
        for _ in 0..60 {
            page.learner.learn(&page.samples, Target::Values(&page.samples)).unwrap();
        }
        page.keep();
        assert!(page.run(true));
        assert!(error(&page) < 0.5 * before, "{} of {before}", error(&page));
    }
}
