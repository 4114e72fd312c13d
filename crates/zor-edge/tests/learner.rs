//! Tests of the learner: with samples, settings and weights that are not finite, or too large.

#![allow(clippy::unwrap_used, reason = "an unwrap in a test is an assertion")]

use zor_edge::{LearnError, Learner, Optimizer, Rule, Target, state_len, weights_len};

const WIDTHS: [usize; 3] = [4, 3, 2];
const SGD: Optimizer = Optimizer::Sgd { rate: 0.05, momentum: 0.9 };

/// Trains on these samples first and on valid ones after them. Returns the weights before, between
/// and after.
fn learn(optimizer: Optimizer, first: &[(&[f32], Target<'_>)]) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let mut weights = vec![0.0; weights_len(&WIDTHS)];
    let mut state = vec![0.0; state_len(&WIDTHS, 2, &optimizer)];
    let mut learner =
        Learner::new(&WIDTHS, 2, Rule::CLASSIC, optimizer, &mut weights, &mut state).unwrap();
    learner.draw_weights(1);
    let before = learner.weights().to_vec();
    for (inputs, target) in first {
        let error = learner.learn(inputs, *target).unwrap_err();
        assert_eq!(error, LearnError::NotFinite, "{inputs:?}, {target:?}");
    }
    let between = learner.weights().to_vec();
    for _ in 0..3 {
        let valid = [1.0, 0.0, 0.5, 0.0, 0.0, 1.0, 0.0, 0.5];
        assert!(learner.learn(&valid, Target::Classes(&[0, 1])).unwrap().is_finite());
    }
    (before, between, learner.weights().to_vec())
}

#[test]
fn samples_that_are_not_finite_are_refused_and_leave_no_trace() {
    let mut one = [1.0; 8];
    one[5] = f32::NAN;
    let classes = Target::Classes(&[0, 1]);
    let values = |values| Target::Values(values);
    let bad: [(&[f32], Target<'_>); 8] = [
        (&[f32::NAN; 8], classes),
        (&[f32::INFINITY; 8], classes),
        (&[f32::NEG_INFINITY; 8], classes),
        (&one, classes),
        // The samples are finite, the sum of their errors is not.
        (&[1.0; 8], values(&[3e38; 4])),
        (&[1.0; 8], values(&[f32::NAN; 4])),
        (&[1.0; 8], values(&[f32::INFINITY; 4])),
        (&one, values(&[0.0; 4])),
    ];
    for optimizer in [SGD, Optimizer::CLASSIC] {
        let (before, between, after) = learn(optimizer, &bad);
        assert_eq!(before, between);
        // Neither charges nor the state of the optimizer depend on them.
        assert_eq!(after, learn(optimizer, &[]).2);
    }
}

#[test]
fn weights_stay_finite_whatever_is_learned() {
    let mut values: Vec<f32> = [0.0, -0.0, 1.0, -1.0, 1e-42, 1e-20, -1e20, 1e38, 3.4e38].to_vec();
    values.extend([f32::NAN, f32::INFINITY]);
    let rules = [
        Rule::CLASSIC,
        Rule { weight_limit: f32::MAX, threshold: 0.0, ..Rule::CLASSIC },
        Rule { stateful: false, min_charge: f32::NEG_INFINITY, ..Rule::CLASSIC },
    ];
    let optimizers = [
        SGD,
        Optimizer::Sgd { rate: 1e38, momentum: 1.0 },
        Optimizer::AdamW { rate: 1e38, decay: 1e38 },
        Optimizer::CLASSIC,
    ];
    let (mut at, mut learned) = (0, 0);
    for (rule, optimizer) in rules.iter().flat_map(|rule| optimizers.map(|o| (*rule, o))) {
        let mut weights = vec![0.0; weights_len(&WIDTHS)];
        let mut state = vec![0.0; state_len(&WIDTHS, 2, &optimizer)];
        let mut learner =
            Learner::new(&WIDTHS, 2, rule, optimizer, &mut weights, &mut state).unwrap();
        learner.draw_weights(7);
        for step in 0..300 {
            let mut batch = [0.0; 8];
            batch.iter_mut().for_each(|value| {
                // A walk through the list that visits all pairs; most batches have ordinary values
                // only.
                at = (at * 5 + 3 + step) % (3 * values.len());
                *value = values.get(at).copied().unwrap_or(0.5);
            });
            let before = learner.weights().to_vec();
            let target = [batch[1], batch[2], 0.5, -0.5];
            let target = match step % 2 {
                0 => Target::Classes(&[0, 1]),
                _ => Target::Values(&target),
            };
            match learner.learn(&batch, target) {
                Ok(error) => {
                    assert!(error.is_finite());
                    learned += 1;
                }
                Err(error) => {
                    assert_eq!(error, LearnError::NotFinite);
                    assert_eq!(learner.weights(), before);
                }
            }
            assert!(learner.weights().iter().all(|weight| weight.is_finite()), "{batch:?}");
        }
    }
    assert!(learned > 1000, "{learned} of 3600");
}

#[test]
fn settings_and_weights_that_are_not_finite_are_refused() {
    let new = |rule: Rule, optimizer: Optimizer, weight: f32| {
        let mut weights = vec![weight; weights_len(&WIDTHS)];
        let mut state = vec![0.0; state_len(&WIDTHS, 2, &optimizer)];
        let learner = Learner::new(&WIDTHS, 2, rule, optimizer, &mut weights, &mut state);
        learner.map(|_| ())
    };
    let classic = Rule::CLASSIC;
    assert_eq!(new(classic, SGD, 0.5), Ok(()));
    let min_charge = f32::NEG_INFINITY;
    assert_eq!(new(Rule { min_charge, ..classic }, SGD, 0.5), Ok(()));
    let nan = f32::NAN;
    let refused = Err(LearnError::Settings);
    assert_eq!(new(classic, SGD, nan), refused);
    assert_eq!(new(classic, SGD, f32::INFINITY), refused);
    assert_eq!(new(Rule { threshold: nan, ..classic }, SGD, 0.5), refused);
    assert_eq!(new(Rule { min_charge: nan, ..classic }, SGD, 0.5), refused);
    assert_eq!(new(Rule { weight_limit: nan, ..classic }, SGD, 0.5), refused);
    assert_eq!(new(Rule { weight_limit: f32::INFINITY, ..classic }, SGD, 0.5), refused);
    for (rate, momentum) in [(nan, 0.9), (f32::INFINITY, 0.9), (0.1, nan), (0.1, 1.1), (0.1, -0.1)]
    {
        assert_eq!(new(classic, Optimizer::Sgd { rate, momentum }, 0.5), refused);
    }
    for (rate, decay) in [(nan, 0.0), (0.1, nan), (0.1, f32::INFINITY)] {
        assert_eq!(new(classic, Optimizer::AdamW { rate, decay }, 0.5), refused);
    }
}
