//! Several optimizers in sequence on one network: ownership of their state, and where schedules
//! begin. Steps of single rows.

use burn::optim::{AdamWConfig, RmsPropConfig};
use zor_core::burn::tensor::{Device, Tensor};
use zor_core::ops::{self, Rows};
use zor_core::{
    BiasConfig, BranchConfig, DenseConfig, EmbeddingConfig, Network, Optimizer, OptimizerState,
    Parameter, Random, RmsNormConfig, Rule, Sequences, SpikeAttentionConfig, Workspace,
};

use crate::{AdamW, FromBurn, Muon, Schedule, Sgd};

/// Matrices, and a vector.
fn network() -> Network {
    let builder = Network::builder(&[12]).layer(DenseConfig::new(8)).layer(BiasConfig::default());
    builder.layer(DenseConfig::new(12)).seed(1).build(&Device::flex()).unwrap()
}

fn batch() -> Tensor<2> {
    Parameter::normal("x", [16, 12], 1.0, &mut Random::seeded(3), &Device::flex()).value()
}

fn train(network: &mut Network, optimizer: &dyn Optimizer, steps: u64) {
    for _ in 0..steps {
        network.train_batch(optimizer, batch(), batch()).unwrap();
    }
}

fn parameters(network: &Network) -> impl Iterator<Item = &Parameter> {
    network.layers().iter().flat_map(|layer| layer.parameters())
}

fn weights(network: &Network) -> Vec<f32> {
    parameters(network)
        .flat_map(|p| p.value().into_data().iter::<f32>().collect::<Vec<_>>())
        .collect()
}

fn cleared(network: &Network) -> Network {
    let mut network = network.clone();
    for parameter in network.layers_mut().iter_mut().flat_map(|layer| layer.parameters_mut()) {
        parameter.set_state(OptimizerState::default(), 0).unwrap();
    }
    network
}

#[test]
fn an_optimizer_starts_anew_after_any_other_and_continues_its_own_state() {
    let rate = Schedule::linear(0.01, 30);
    let adam = AdamW { epsilon: 1e-6, ..AdamW::adam(rate) };
    let optimizers: [(&str, Box<dyn Optimizer>); 7] = [
        ("adamw", Box::new(AdamW::new(rate))),
        ("adamw", Box::new(adam)),
        ("muon", Box::new(Muon::new(rate))),
        ("muon", Box::new(Muon::new(rate).with_momentum(0.0))),
        ("sgd", Box::new(Sgd::new(rate))),
        ("burn/adamw", Box::new(FromBurn::new("adamw", AdamWConfig::new().build(), rate))),
        ("burn/rmsprop", Box::new(FromBurn::new("rmsprop", RmsPropConfig::new().build(), rate))),
    ];
    for (first_owner, first) in &optimizers {
        for (owner, second) in &optimizers {
            let pair = format!("{first:?}, then {second:?}");
            let mut switched = network();
            train(&mut switched, first.as_ref(), 20);
            let mut by_hand = cleared(&switched);
            train(&mut switched, second.as_ref(), 15);
            train(&mut by_hand, second.as_ref(), 15);
            assert!(weights(&switched).iter().all(|w| w.is_finite()), "{pair}");
            let alike = weights(&switched) == weights(&by_hand);
            assert_eq!(alike, first_owner != owner, "{pair}");
            for parameter in parameters(&switched) {
                let (state, began) = (parameter.state(), if first_owner == owner { 0 } else { 20 });
                assert_eq!((parameter.steps(), state.began), (35, began), "{pair}");
                assert_eq!((&*state.owner, state.schedule_began), (*owner, began), "{pair}");
                assert_eq!(state.foreign.is_some(), owner.starts_with("burn"), "{pair}");
            }
        }
    }
}

#[test]
fn a_schedule_of_another_height_or_shape_starts_where_it_took_over() {
    let phases: [&dyn Fn() -> Schedule; 3] =
        [&|| Schedule::linear(1e-4, 20), &|| Schedule::linear(1e-2, 20), &|| {
            Schedule::cosine(1e-2, 20)
        }];
    let optimizers: [&dyn Fn(Schedule) -> Box<dyn Optimizer>; 4] = [
        &|rate| Box::new(AdamW::new(rate)),
        &|rate| Box::new(Muon::new(rate)),
        &|rate| Box::new(Sgd::new(rate)),
        &|rate| Box::new(FromBurn::new("rmsprop", RmsPropConfig::new().build(), rate)),
    ];
    for optimizer in optimizers {
        let mut network = network();
        for (phase, schedule) in (0..).zip(phases) {
            let before = weights(&network);
            train(&mut network, optimizer(schedule()).as_ref(), 20);
            assert_ne!(before, weights(&network), "{:?}", optimizer(schedule()));
            let began = parameters(&network).map(|p| (p.state().began, p.state().schedule_began));
            assert!(began.eq([(0, 20 * phase); 3]), "moments stay, the schedule begins");
        }
    }
}

#[test]
fn a_longer_schedule_continues_and_an_equal_one_begins_when_told() {
    let train_with = |network: &mut Network, steps| {
        train(network, &Sgd::new(Schedule::linear(1e-2, steps).with_warm_up(steps / 10)), 20);
    };
    let mut network = network();
    train_with(&mut network, 20);
    // At step 21 of 40 the rate is half of the peak.
    let mut longer = network.clone();
    train_with(&mut longer, 40);
    assert!(parameters(&longer).all(|p| p.state().schedule_began == 0));
    assert_ne!(weights(&longer), weights(&network));
    let past_the_end = {
        let mut network = network.clone();
        train_with(&mut network, 20);
        weights(&network)
    };
    assert_eq!(past_the_end, weights(&network), "the rate is zero past the end");
    network.begin_phase();
    train_with(&mut network, 20);
    assert_ne!(past_the_end, weights(&network));
    assert!(parameters(&network).all(|p| (p.state().began, p.state().schedule_began) == (0, 20)));
}

#[test]
fn half_of_a_state_is_no_state() {
    let mut network = network();
    train(&mut network, &Sgd::new(0.01), 5);
    for parameter in network.layers_mut().iter_mut().flat_map(|layer| layer.parameters_mut()) {
        let state = OptimizerState { owner: "adamw".to_owned(), ..parameter.state().clone() };
        parameter.set_state(state, 5).unwrap();
    }
    let mut empty = network.clone();
    for parameter in empty.layers_mut().iter_mut().flat_map(|layer| layer.parameters_mut()) {
        let state = OptimizerState { tensors: Vec::new(), ..parameter.state().clone() };
        parameter.set_state(state, 5).unwrap();
    }
    train(&mut network, &AdamW::new(0.01), 5);
    train(&mut empty, &AdamW::new(0.01), 5);
    assert_eq!(weights(&network), weights(&empty));
}

/// Rows of a batch: row 4 occurs in every batch, and some occur several times.
fn occurring(step: u32) -> Rows {
    [4, step % 3, 4, 6, step % 3].into()
}

/// An embedding of eight rows that has taken some steps of its rows, and one that has taken the
/// steps with the whole correlation.
fn rows_and_whole(optimizer: &dyn Optimizer, start: &Parameter) -> [Parameter; 2] {
    let mut random = Random::seeded(4);
    let mut workspace = Workspace::new(&Device::flex());
    let [mut rows, mut whole] = [start.clone(), start.clone()];
    for step in 0..7 {
        let correlation = Parameter::normal("c", [5, 6], 1.0, &mut random, &Device::flex()).value();
        let all = whole.correlation_of_rows(occurring(step), correlation.clone(), &mut workspace);
        optimizer.step_rows(&mut rows, occurring(step), correlation, &mut workspace);
        optimizer.step(&mut whole, all, &mut workspace);
    }
    [rows, whole]
}

fn embedding() -> Parameter {
    Parameter::normal("e", [8, 6], 1.0, &mut Random::seeded(2), &Device::flex())
}

/// Bits of a row of the value, and of each tensor of the state.
fn bits(parameter: &Parameter, row: usize) -> Vec<u32> {
    let all = std::iter::once(parameter.value()).chain(parameter.state().tensors.clone());
    let rows = all.map(|tensor| ops::read(tensor.narrow(0, row, 1)).unwrap());
    rows.flatten().map(f32::to_bits).collect()
}

#[test]
fn rows_that_do_not_occur_keep_their_bits_and_others_take_the_step_of_all() {
    let rate = Schedule::linear(0.01, 30).with_warm_up(3);
    let adam = AdamW::new(rate).with_weight_decay(0.1);
    let muon = Muon::new(rate).with_weight_decay(0.1);
    let independent = embedding().with_independent_rows();
    let limited = embedding().with_limit(0.5);
    for (optimizer, start) in [
        (&adam as &dyn Optimizer, embedding()),
        (&adam, limited),
        (&AdamW::adam(0.3), embedding()),
        (&muon, independent),
    ] {
        let [rows, whole] = rows_and_whole(optimizer, &start);
        for row in [4, 6] {
            assert_eq!(bits(&rows, row), bits(&whole, row), "row {row}: {optimizer:?}");
        }
        for row in [3, 5, 7] {
            assert_eq!(bits(&rows, row)[..6], bits(&start, row), "row {row}: {optimizer:?}");
            assert_eq!(bits(&rows, row)[6..], [0; 12], "row {row}: {optimizer:?}");
        }
        // The rows 0 to 2 occur in some batches.
        assert_ne!(bits(&rows, 1), bits(&whole, 1), "{optimizer:?}");
        assert_ne!(bits(&rows, 1)[..6], bits(&start, 1), "{optimizer:?}");
        assert_eq!((rows.steps(), &*rows.state().owner), (7, &*whole.state().owner));
    }
}

#[test]
fn optimizers_that_move_all_rows_move_them_as_a_whole_correlation_does() {
    let momentum = Sgd { weight_decay: 0.1, ..Sgd::new(0.02) };
    let plain = Sgd { momentum: 0.0, ..Sgd::new(0.02) };
    let limited = embedding().with_limit(0.5);
    let foreign = FromBurn::new("rmsprop", RmsPropConfig::new().build(), 0.01.into());
    let frozen = || {
        let mut frozen = embedding();
        frozen.set_frozen(true);
        frozen
    };
    for (optimizer, start, tolerance) in [
        (&momentum as &dyn Optimizer, embedding(), 0.0),
        (&Muon::new(0.02), embedding(), 0.0),
        (&foreign, embedding(), 0.0),
        (&plain, limited, 0.0),
        (&Sgd { weight_decay: 0.1, ..plain }, embedding(), 0.0),
        // Sums are rounded in another order.
        (&plain, embedding(), 1e-6),
        (&plain, frozen(), 0.0),
        (&AdamW::default(), frozen(), 0.0),
    ] {
        let [rows, whole] = rows_and_whole(optimizer, &start);
        let [found, expected] = [&rows, &whole].map(|one| ops::read(one.value()).unwrap());
        let close = |(a, b): (&f32, &f32)| (a - b).abs() <= tolerance;
        assert!(found.iter().zip(&expected).all(close), "{optimizer:?}");
        assert_eq!(rows.steps(), whole.steps());
        assert_eq!(rows.steps() == 0, start.is_frozen());
    }
}

#[test]
fn plain_gradient_descent_of_rows_leaves_the_others_and_their_bits() {
    let [rows, _] = rows_and_whole(&Sgd { momentum: 0.0, ..Sgd::new(0.02) }, &embedding());
    for row in [3, 5, 7] {
        assert_eq!(bits(&rows, row), bits(&embedding(), row));
    }
}

#[test]
fn bias_corrections_count_the_steps_of_the_parameter() {
    let mut workspace = Workspace::new(&Device::flex());
    let mut parameter = embedding();
    let adam = AdamW::adam(0.01);
    let ones = || Tensor::<2>::ones([1, 6], &Device::flex());
    for row in [0, 0, 0, 1] {
        adam.step_rows(&mut parameter, [row].into(), ones(), &mut workspace);
    }
    let moved = ops::read(parameter.value() - embedding().value()).unwrap();
    // Three corrected steps of full length, and the first step of row 1 with the factors of step 4.
    let (first, second) = (1.0 - 0.9f32.powi(4), 1.0 - 0.999f32.powi(4));
    let late = 0.01 * (0.1 / first) / (0.001 / second).sqrt();
    for (moved, expected) in moved.iter().zip([[0.03; 6], [late; 6], [0.0; 6]].as_flattened()) {
        assert!((moved - expected).abs() < 1e-4, "{moved} and {expected}");
    }
}

/// Sequences of tokens below `TAGS`, and the class of each position: the token before it, or 0 at
/// the start.
fn tagging(random: &mut Random) -> (Sequences, Vec<usize>) {
    let (mut tokens, mut classes, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..16 {
        let length = 2 + (random.uniform() * 6.0) as usize;
        let own: Vec<u32> = (0..length).map(|_| (random.uniform() * TAGS as f32) as u32).collect();
        classes.push(0);
        classes.extend(own[..length - 1].iter().map(|token| *token as usize));
        tokens.extend(own);
        lengths.push(length);
    }
    (Sequences::new(tokens, &lengths).unwrap(), classes)
}

const TAGS: usize = 6;

#[test]
fn a_network_on_embeddings_learns_classes_that_depend_on_the_token_before() {
    let optimizers: [&dyn Optimizer; 2] =
        [&AdamW::new(Schedule::cosine(2e-2, 400)), &Muon::new(Schedule::cosine(0.04, 400))];
    for optimizer in optimizers {
        let block = BranchConfig::residual()
            .layer(RmsNormConfig::default())
            .layer(DenseConfig::new(96))
            .layer(SpikeAttentionConfig::new(4))
            .layer(RmsNormConfig::default())
            .layer(DenseConfig::new(32));
        let builder = Network::builder(&[1]).rule(Rule::backprop()).seed(1);
        let builder = builder.layer(EmbeddingConfig::new(TAGS, 32)).layer(block);
        let builder = builder.layer(RmsNormConfig::default()).layer(DenseConfig::new(TAGS));
        let mut network = builder.build(&Device::flex()).unwrap();
        let mut random = Random::seeded(1);
        for _ in 0..400 {
            let (sequences, classes) = tagging(&mut random);
            network.train_batch(optimizer, &sequences, classes).unwrap();
        }
        let (sequences, classes) = tagging(&mut random);
        let output = ops::read(network.predict(&sequences).unwrap()).unwrap();
        let best = |row: &[f32]| (0..TAGS).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
        let right = output.chunks(TAGS).zip(&classes).filter(|(row, class)| best(row) == **class);
        let (right, all) = (right.count(), classes.len());
        assert!(right * 20 > all * 19, "{optimizer:?}: {right} of {all}");
    }
}
