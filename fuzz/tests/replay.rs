//! Replays the corpus: runs every file and some mutations of it on its target.

#![allow(clippy::unwrap_used, reason = "an unwrap in a test is an assertion")]

use zor::prelude::Random;
use zor_fuzz::allocations::Counting;
use zor_fuzz::targets::TARGETS;
use zor_fuzz::{feed, kept, mutate};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A single test, because allocations of tests in parallel would be counted too.
#[test]
fn no_file_of_the_corpus_and_few_mutations_of_it_do_harm() {
    for target in &TARGETS {
        let files = kept(target).unwrap();
        assert!(!files.is_empty(), "{} has no corpus", target.name);
        for (name, bytes) in &files {
            feed(target, bytes).unwrap_or_else(|harm| panic!("{name}: {harm}"));
        }
        let (mut random, mut input) = (Random::seeded(1), Vec::new());
        for round in 0..500 {
            let pick = |n: usize| &files[n % files.len()].1;
            mutate::mutate(pick(round), pick(round / 7), &mut random, &mut input);
            feed(target, &input).unwrap_or_else(|harm| panic!("{}: {harm}", target.name));
        }
    }
}
