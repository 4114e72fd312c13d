//! Several optimizers in sequence on one network: ownership of their state, and where schedules
//! begin.

use burn::optim::{AdamWConfig, RmsPropConfig};
use zor_core::burn::tensor::{Device, Tensor};
use zor_core::{BiasConfig, DenseConfig, Network, Optimizer, OptimizerState, Parameter, Random};

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
