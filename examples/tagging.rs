//! Learns the part of speech of every word of a sentence. Some words have two: `watch` is a noun in
//! "the watch" and a verb in "they watch", so the network has to read the word before.
use zor::core::ops;
use zor::prelude::*;

const TAGS: [&str; 6] = ["determiner", "pronoun", "adjective", "noun", "verb", "preposition"];
/// Words by tag. Four of the nouns are also verbs.
const WORDS: [&[&str]; 6] = [
    &["the", "a", "this", "every"],
    &["they", "we", "you"],
    &["old", "green", "quiet", "small"],
    &["dog", "river", "painter", "watch", "walk", "cook", "play"],
    &["see", "like", "watch", "walk", "cook", "play"],
    &["near", "behind", "without"],
];
const WIDTH: usize = 32;

/// Every word once. Its token is its position.
fn vocabulary() -> Vec<&'static str> {
    let mut words = WORDS.concat();
    words.sort_unstable();
    words.dedup();
    words
}

/// Writes sentences such as "they watch the small dog near a river". Returns them with the tag of
/// every word.
fn sentences(number: usize, random: &mut Random) -> zor::Result<(Sequences, Vec<usize>)> {
    let mut below = |number: usize| (random.uniform() * number as f32) as usize % number;
    let (mut tags, mut lengths) = (Vec::new(), Vec::new());
    for _ in 0..number {
        let start = tags.len();
        let object: [&[usize]; 2] = [&[0, 3], &[0, 2, 3]];
        tags.extend(if below(2) == 0 { &[1] } else { object[below(2)] });
        tags.push(4);
        tags.extend(object[below(2)]);
        if below(2) == 0 {
            tags.push(5);
            tags.extend(object[below(2)]);
        }
        lengths.push(tags.len() - start);
    }
    let words = vocabulary();
    let mut token = |tag: &usize| {
        let word = WORDS[*tag][below(WORDS[*tag].len())];
        words.partition_point(|other| *other < word) as u32
    };
    let tokens = tags.iter().map(&mut token).collect();
    Ok((Sequences::new(tokens, &lengths)?, tags))
}

/// Embeddings, a block of spike attention, and a class for every position.
fn network() -> NetworkBuilder {
    let attention = BranchConfig::residual()
        .layer(RmsNormConfig::default())
        .layer(DenseConfig::new(3 * WIDTH))
        .layer(SpikeAttentionConfig::new(4))
        .layer(RmsNormConfig::default())
        .layer(DenseConfig::new(WIDTH));
    Network::builder(&[1])
        .rule(Rule::backprop())
        .layer(EmbeddingConfig::new(vocabulary().len(), WIDTH))
        .layer(attention)
        .layer(RmsNormConfig::default())
        .layer(DenseConfig::new(TAGS.len()))
}

fn main() -> zor::Result<()> {
    let mut network = network().build(&Device::flex())?;
    let mut random = Random::seeded(1);
    for _ in 0..200 {
        let (batch, tags) = sentences(16, &mut random)?;
        network.train_batch(&Muon::new(0.02), batch, tags)?;
    }

    let (unseen, tags) = sentences(200, &mut random)?;
    let scores = ops::read(network.predict(&unseen)?)?;
    let best = |row: &[f32]| (0..TAGS.len()).max_by(|a, b| row[*a].total_cmp(&row[*b]));
    let found: Vec<usize> = scores.chunks(TAGS.len()).filter_map(best).collect();
    let vocabulary = vocabulary();
    let words: Vec<&str> = unseen.tokens().iter().map(|at| vocabulary[*at as usize]).collect();
    for position in unseen.rows(0) {
        println!("{:<12}{}", words[position], TAGS[found[position]]);
    }
    let accuracy = |among: Vec<usize>| {
        let right = among.iter().filter(|at| found[**at] == tags[**at]).count();
        100.0 * right as f32 / among.len() as f32
    };
    let all = 0..words.len();
    let has_two = |at: &usize| WORDS[3].contains(&words[*at]) && WORDS[4].contains(&words[*at]);
    println!("{:.1} % of all words are tagged correctly", accuracy(all.clone().collect()));
    println!("{:.1} % of the words with two tags", accuracy(all.filter(has_two).collect()));
    Ok(())
}
