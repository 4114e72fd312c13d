//! A detector of bearing faults on a Cortex-M4. A program in flash scores windows of a vibration
//! sensor, and then a second detector learns from scratch what is normal, without heap.
//!
//! The sensor is synthetic: two sines and noise; a damaged bearing adds short impulses that ring.
//! `cargo xtask edge` builds it and runs it in QEMU; on a host,
//! `cargo run --release -p zor-firmware --bin detector` runs the same program, and with a number as
//! argument it writes so many windows of a healthy machine as CSV.

#![cfg_attr(target_os = "none", no_std)]
#![cfg_attr(target_os = "none", no_main)]

#[cfg_attr(target_os = "none", path = "../cortex_m.rs")]
#[cfg_attr(not(target_os = "none"), path = "../host.rs")]
mod board;

use board::{instructions, print};
use zor_edge::{Detector, DetectorLearner, DetectorSettings, Stage, memory_len};

/// Program from `zor train detection` on 512 windows of this sensor as CSV, then
/// `zor export --int8`.
static PROGRAM: &[u8] = zor_edge::include_program!("../../detector.zore");

/// Number of samples of a window.
const SAMPLES: usize = 32;
/// Length of the scratch memory of a score, which `zor export` prints.
const SCRATCH: usize = 160;
/// A waveform of any phase takes more rows and steps than most tables.
const SETTINGS: DetectorSettings =
    DetectorSettings { rows: 128, steps: 600, ..DetectorSettings::new(SAMPLES) };
/// Number of windows that are scored of a healthy and of a damaged machine.
const WINDOWS: u32 = 100;

/// All buffers. On a device they are in static memory, not on the stack.
struct Memory {
    window: [f32; SAMPLES],
    scratch: [f32; SCRATCH],
    learner: [f32; memory_len(&SETTINGS)],
}

impl Memory {
    const EMPTY: Self = Self {
        window: [0.0; SAMPLES],
        scratch: [0.0; SCRATCH],
        learner: [0.0; memory_len(&SETTINGS)],
    };
}

/// A vibration sensor at 1 kHz.
struct Sensor {
    /// Milliseconds since the start.
    time: u32,
    noise: u32,
}

impl Sensor {
    const fn new(seed: u32) -> Self {
        Self { time: 97 * seed, noise: seed }
    }

    /// A number from -1 to 1.
    fn noise(&mut self) -> f32 {
        self.noise = self.noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.noise >> 8) as f32 / 8_388_608.0 - 1.0
    }

    /// Reads a window, some time after the last one.
    fn read(&mut self, window: &mut [f32; SAMPLES], is_damaged: bool) {
        let turn = |hertz: u32, time: u32| {
            // The period of all frequencies is a second.
            let angle = (hertz * (time % 1000) % 1000) as f32 / 1000.0;
            libm::sinf(2.0 * core::f32::consts::PI * angle)
        };
        for sample in window {
            let time = self.time;
            *sample = turn(50, time) + 0.5 * turn(120, time) + 0.15 * self.noise();
            if is_damaged {
                let since = time % 21;
                *sample += 1.2 * turn(310, since) * libm::expf(-0.25 * since as f32);
            }
            self.time += 1;
        }
        self.time += 5 + (self.noise >> 28);
    }
}

fn run(memory: &mut Memory) -> Result<(), &'static str> {
    score(memory)?;
    learn(memory)
}

/// Scores windows by the program in flash.
fn score(Memory { window, scratch, .. }: &mut Memory) -> Result<(), &'static str> {
    let (before, detector) = (instructions(), Detector::from_bytes(PROGRAM));
    let detector = detector.map_err(|_| "the program is not valid")?;
    print("program, bytes", PROGRAM.len() as u64);
    print("checked in instructions", instructions() - before);
    print("a window, bytes", 4 * SAMPLES as u64);
    print("scratch memory of a score, bytes", 4 * SCRATCH as u64);
    let mut sensor = Sensor::new(2);
    let (mut most, mut stack) = (0, 0);
    let mut alarms = [0, 0];
    for (count, is_damaged) in alarms.iter_mut().zip([false, true]) {
        for _ in 0..WINDOWS {
            sensor.read(window, is_damaged);
            board::paint_stack();
            let before = instructions();
            let score = detector.score(window, scratch).map_err(|_| "the memory does not fit")?;
            most = most.max(instructions() - before);
            stack = stack.max(board::stack_used());
            *count += u64::from(detector.is_alarm(score));
        }
    }
    print("a score, instructions at most", most);
    print("a score, bytes of stack at most", stack);
    print("alarms in 100 windows of a healthy machine", alarms[0]);
    print("alarms in 100 windows of a damaged one", alarms[1]);
    Ok(())
}

/// Learns from the first windows what is normal, and scores the next ones.
fn learn(Memory { window, learner, .. }: &mut Memory) -> Result<(), &'static str> {
    print("memory of a detector that learns, bytes", 4 * learner.len() as u64);
    let detector = DetectorLearner::new(SETTINGS, learner);
    let mut detector = detector.map_err(|_| "the memory does not fit the detector")?;
    let mut sensor = Sensor::new(3);
    let (start, mut step, mut stack, mut windows) = (instructions(), 0, 0, 0);
    while detector.stage() != Stage::Ready {
        board::paint_stack();
        let before = instructions();
        if detector.stage() == Stage::Training {
            detector.train();
            step = step.max(instructions() - before);
        } else {
            sensor.read(window, false);
            detector.push(window).map_err(|_| "the window does not fit")?;
            windows += 1;
        }
        stack = stack.max(board::stack_used());
    }
    print("windows until it is ready", windows);
    print("training steps", u64::from(SETTINGS.steps));
    print("a training step, instructions at most", step);
    print("instructions until it is ready", instructions() - start);
    print("learning, bytes of stack at most", stack);
    let mut alarms = [0, 0];
    for (count, is_damaged) in alarms.iter_mut().zip([false, true]) {
        for _ in 0..WINDOWS {
            sensor.read(window, is_damaged);
            let score = detector.score(window).map_err(|_| "the window does not fit")?;
            *count += u64::from(detector.is_alarm(score));
        }
    }
    print("after learning, alarms in 100 windows of a healthy machine", alarms[0]);
    print("after learning, alarms in 100 windows of a damaged one", alarms[1]);
    Ok(())
}

#[cfg(not(target_os = "none"))]
fn main() -> Result<(), &'static str> {
    let Some(windows) = std::env::args().nth(1) else {
        let mut memory = Box::new(Memory::EMPTY);
        return run(&mut memory);
    };
    let windows: u32 = windows.parse().map_err(|_| "the number of windows is not a number")?;
    let line = |cells: &mut dyn Iterator<Item = String>| cells.collect::<Vec<_>>().join(",");
    println!("{}", line(&mut (0..SAMPLES).map(|at| format!("x{at}"))));
    let (mut sensor, mut window) = (Sensor::new(1), [0.0; SAMPLES]);
    for _ in 0..windows {
        sensor.read(&mut window, false);
        println!("{}", line(&mut window.iter().map(f32::to_string)));
    }
    Ok(())
}
