//! Learns to translate from sentence pairs, and translates lines that it has not seen.
//!
//! ```text
//! cargo run --release -p zor-examples --example translation
//! cargo run --release -p zor-examples --example translation -- pairs.en pairs.pcm
//! ```
//!
//! Line n of one file is the translation of line n of the other. Without files, the pairs are in a
//! made-up language: its words are English ones backwards, and the verb is the last word.

use std::env;
use std::ops::ControlFlow;
use std::path::Path;

use zor::Error;
use zor::data::text::{Cleaning, Pair, Parallel};
use zor::prelude::*;
use zor::task::{Model, Plan};
use zor::tasks::translation::data_of;
use zor::training::{self, Method, Training};
use zor::translation::{Search, Translator};

/// One of this number of pairs is held out.
const HELD_OUT: usize = 20;

fn main() -> zor::Result<()> {
    let files: Vec<String> = env::args().skip(1).collect();
    let pairs = match &files[..] {
        [source, target] => Parallel::read_lines(Path::new(source), Path::new(target))?.pairs,
        [] => made_up(),
        _ => return Err(Error::input("give two files of lines, or none")),
    };
    let (mut train, _) = Cleaning::default().clean(pairs);
    let unseen = train.split_off(train.len() - train.len() / HELD_OUT);

    let plan = Plan::parse(
        "task = 'translation'\n\
         steps = 150\n\
         batch = 1000\n\
         hidden = 64\n\
         translation.blocks = 2\n\
         translation.dropout = 0",
    )?;
    let data = data_of(train, unseen.clone(), ["source", "target"], &plan.settings)?;
    let continues = &mut |_: &mut Training| ControlFlow::Continue(());
    let trained = training::run(&plan, &data, &Device::flex(), Method::LocalRule, continues)?;
    for figure in trained.evaluation().figures {
        println!("{}: {:.2}", figure.label, figure.shown_value());
    }

    // A model that `zor train translation` has saved is read with `Model::load`.
    let (network, notes) = (trained.network, plan.task.notes(&data));
    let model = Model { network, plan, notes, path: "the trained model".into() };
    let translator = Translator::of_model(model)?;
    let lines: Vec<&str> = unseen.iter().take(3).map(|pair| &*pair.source).collect();
    let watch = &mut || ControlFlow::Continue(());
    let found = translator.translate(&lines, "target", Search::default(), watch)?;
    for (pair, translations) in unseen.iter().zip(&found) {
        let Some(best) = translations.first() else { continue };
        println!("{} -> {} (score {:.2})", pair.source, best.text, best.score);
    }
    Ok(())
}

/// Sentences such as `the small dog likes a house.`, in the other language `eht llams god a esuoh
/// sekil.`
fn made_up() -> Vec<Pair> {
    let adjectives = ["small", "green", "quiet", "warm", "strange"];
    let nouns = ["dog", "house", "river", "teacher", "cloud", "garden", "boat"];
    let verbs = ["sees", "likes", "paints", "finds", "draws"];
    let mut random = Random::seeded(1);
    let mut pairs = Vec::new();
    for _ in 0..400 {
        let mut word = |of: &[&'static str]| of[random.below(of.len())];
        let first = [word(&["the", "a"]), word(&adjectives), word(&nouns)];
        let (verb, second) = (word(&verbs), [word(&["the", "a"]), word(&nouns)]);
        let source = format!("{} {verb} {}.", first.join(" "), second.join(" "));
        let words = [&first[..], &second, &[verb]].concat();
        let words: Vec<String> = words.iter().map(|word| word.chars().rev().collect()).collect();
        pairs.push(Pair { source, target: format!("{}.", words.join(" ")) });
    }
    pairs
}
