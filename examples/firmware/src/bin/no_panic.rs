//! Proof that `zor-edge` cannot panic: if any call could, this program would not link, because its
//! panic handler calls an undefined function.
//!
//! It calls the whole public interface with values that the optimizer cannot see.

#![cfg_attr(target_os = "none", no_std)]
#![cfg_attr(target_os = "none", no_main)]
#![cfg_attr(target_os = "none", allow(unsafe_code, reason = "declares an undefined function"))]

use core::hint::black_box;

use zor_edge::{
    Detector, DetectorLearner, DetectorSettings, Learner, Network, Optimizer, Rule, Target,
    memory_len,
};

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe extern "C" {
        safe fn something_can_panic() -> !;
    }
    something_can_panic()
}

#[cfg_attr(target_os = "none", cortex_m_rt::entry)]
fn start() -> ! {
    call_everything();
    #[allow(clippy::empty_loop, reason = "the device is done")]
    loop {}
}

#[cfg(not(target_os = "none"))]
fn main() {
    let _ = start as fn() -> !;
    call_everything();
}

fn call_everything() {
    let program: &[u8] = black_box(&[]);
    let input: &[f32] = black_box(&[]);
    let (mut output, mut scratch) = ([0.0; 8], [0.0; 8]);
    let (output, scratch) = (black_box(&mut output[..]), black_box(&mut scratch[..]));
    if let Ok(network) = Network::from_bytes(program) {
        _ = black_box((network.dtype(), network.input_shape(), network.output_shape()));
        network.layers().for_each(|layer| _ = black_box(layer.geometry.multiply_adds()));
        _ = black_box(network.run(input, output, scratch));
        let tell = |activity: zor_edge::Activity<'_>| {
            _ = black_box((activity.output.active(), activity.output.get(black_box(7))));
        };
        _ = black_box(network.run_traced(input, output, scratch, tell));
    }
    if let Ok(detector) = Detector::from_bytes(program) {
        _ = black_box((detector.row_len(), detector.scratch_len(), detector.scoring().passes()));
        let score = detector.score(input, scratch);
        _ = black_box(score.map(|score| detector.is_alarm(score)));
        _ = black_box(detector.score_parts(input, output, scratch));
    }
    let settings = black_box(DetectorSettings::new(3));
    _ = black_box(memory_len(&settings));
    if let Ok(mut detector) = DetectorLearner::new(settings, output) {
        _ = black_box(detector.push(input));
        _ = black_box((detector.train(), detector.stage()));
        let score = detector.score(input);
        _ = black_box(score.map(|score| detector.is_alarm(score)));
        _ = black_box(detector.write_program(|piece| _ = black_box(piece)));
    }
    let widths: &[usize] = black_box(&[]);
    let (mut weights, mut state) = ([0.0; 8], [0.0; 8]);
    let (weights, state) = (black_box(&mut weights[..]), black_box(&mut state[..]));
    for optimizer in [Optimizer::CLASSIC, Optimizer::Sgd { rate: 0.1, momentum: 0.9 }] {
        let batch = black_box(3);
        let learner =
            Learner::new(widths, batch, Rule::CLASSIC, black_box(optimizer), weights, state);
        if let Ok(mut learner) = learner {
            learner.draw_weights(black_box(4));
            _ = black_box(learner.learn(input, Target::Values(input)));
            _ = black_box(learner.learn(input, Target::Classes(black_box(&[]))));
            _ = black_box(learner.predict(input, output, scratch));
            _ = black_box(learner.write_program(|piece| _ = black_box(piece)));
            _ = black_box((learner.weights().len(), learner.state_bytes()));
        }
    }
}
