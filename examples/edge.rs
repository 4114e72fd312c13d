//! Trains a network, exports it as a program for small devices, and compares the two. Then a layer
//! is trained on the device.
//!
//! The network learns to reconstruct ten images of clothing. Its hidden values are the features of
//! a small layer that learns by the classic rule to distinguish shirts from other clothing, with
//! ten images of each.
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;

use zor::export::{DType, Values, evaluate, export};
use zor::prelude::*;
use zor::task::{Figure, Model, Plan};
use zor::tasks::parts::images;
use zor::training::{self, Method, Training};
use zor_edge::{Learner, Optimizer, Rule, Target, state_len, weights_len};

const HIDDEN: usize = 64;
/// Sizes of the layer that learns on the device: features and two classes.
const WIDTHS: [usize; 2] = [HIDDEN, 2];
const BATCH: usize = 20;
const OPTIMIZER: Optimizer = Optimizer::Sgd { rate: 0.05, momentum: 0.9 };

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex();
    let plan = Plan::parse("task = 'fashion-reconstruction'\ntarget_spike_rate = 0.3")?;
    let data = plan.task.load(&plan.settings, &mut |_| {})?;
    let continues = &mut |_: &mut Training| ControlFlow::Continue(());
    let trained = training::run(&plan, &data, &device, Method::LocalRule, continues)?;

    let psnr = trained.evaluation().headline().map_or(f64::NAN, Figure::shown_value);
    let (network, notes, path) = (trained.network, BTreeMap::new(), PathBuf::new());
    let model = Model { network, plan, notes, path };
    let image = export(&model, &data, DType::I8, &device)?;
    let measured = evaluate(&image, &model, &data, &device)?;
    println!(
        "model {psnr:.2} dB, program of {} bytes {:.2} dB, {:.0} % of its units fire",
        image.bytes().len(),
        measured.score.headline().map_or(f64::NAN, Figure::shown_value),
        100.0 * measured.layers[0].outputs
    );

    // The rest needs no heap on a device: slices of fixed length, and a learner whose memory size
    // is a constant.
    let network = image.network()?;
    let mut scratch = vec![0.0; network.scratch_len()];
    let mut features = |pixels: &[f32]| -> Result<[f32; HIDDEN], zor_edge::RunError> {
        let (mut hidden, mut output) = ([0.0; HIDDEN], [0.0; 784]);
        network.run_traced(pixels, &mut output, &mut scratch, |activity| {
            if let (0, Values::Int8(values, step)) = (activity.layer, activity.output) {
                hidden
                    .iter_mut()
                    .zip(values)
                    .for_each(|(to, value)| *to = f32::from(*value) * step);
            }
        })?;
        Ok(hidden)
    };
    let (mut inputs, mut classes) = (Vec::new(), Vec::new());
    let shirt = 6;
    let all = FashionMnist::load(&Locations::from_environment(None))?.train;
    for wanted in [false, true] {
        let found = (0..all.len()).filter(|i| (all.label(*i) == shirt) == wanted);
        for index in found.take(BATCH / 2) {
            inputs.extend(features(&all.range(index..index + 1)?.pixels())?);
            classes.push(u8::from(wanted));
        }
    }
    let mut weights = [0.0; weights_len(&WIDTHS)];
    let mut state = [0.0; state_len(&WIDTHS, BATCH, &OPTIMIZER)];
    let rule = Rule { stateful: false, ..Rule::CLASSIC };
    let mut learner = Learner::new(&WIDTHS, BATCH, rule, OPTIMIZER, &mut weights, &mut state)?;
    for _ in 0..200 {
        learner.learn(&inputs, Target::Classes(&classes))?;
    }
    println!(
        "a layer of {} weights learned shirts in {} bytes",
        WIDTHS[0] * WIDTHS[1],
        learner.state_bytes()
    );
    let (mut right, mut shirts) = ([0, 0], [0, 0]);
    let evaluation = images::of(&*data.evaluation)?;
    for (index, label) in evaluation.labels().iter().enumerate() {
        let hidden = features(&evaluation.range(index..index + 1)?.pixels())?;
        let (mut output, mut scratch) = ([0.0; 2], [0.0; 2 * HIDDEN]);
        learner.predict(&hidden, &mut output, &mut scratch)?;
        let is_shirt = usize::from(*label == shirt);
        shirts[is_shirt] += 1;
        right[is_shirt] += usize::from((output[1] > output[0]) == (is_shirt == 1));
    }
    println!(
        "it classifies {} of {} shirts and {} of {} other images correctly",
        right[1], shirts[1], right[0], shirts[0]
    );
    Ok(())
}
