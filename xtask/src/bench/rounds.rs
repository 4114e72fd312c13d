//! Contenders that take turns, so that noise of the machine affects all of them alike.

use serde_json::{Map, Value, json};

use super::spread::Spread;

/// A timed contender: its name, and a function that runs it and returns its time.
pub(crate) type Contender<'a> = (&'a str, Box<dyn FnMut() -> Result<f64, String> + 'a>);

/// Times of every contender by round; Zor comes first.
pub(crate) struct Times {
    unit: &'static str,
    all: Vec<(String, Vec<f64>)>,
}

/// Runs every contender once per round, after a warm-up round. `unit` is the unit of the times that
/// contenders return.
pub(crate) fn run(
    rounds: usize,
    unit: &'static str,
    contenders: Vec<Contender<'_>>,
) -> Result<Times, String> {
    let (names, mut runs): (Vec<_>, Vec<_>) = contenders.into_iter().unzip();
    let mut all: Vec<(String, Vec<f64>)> =
        names.into_iter().map(|name| (name.to_owned(), Vec::new())).collect();
    for round in 0..=rounds {
        for ((_, times), run) in all.iter_mut().zip(&mut runs) {
            let time = run()?;
            if round > 0 {
                times.push(time);
            }
        }
    }
    Ok(Times { unit, all })
}

impl Times {
    /// Returns the times of a contender.
    pub(crate) fn of(&self, name: &str) -> Spread {
        Spread::of(self.raw(name))
    }

    /// Returns the times of one contender divided by those of another, round by round.
    pub(crate) fn ratio(&self, of: &str, by: &str) -> Spread {
        Spread::of_ratios(self.raw(of), self.raw(by))
    }

    /// Splits off the contenders from an index on.
    pub(crate) fn split_off(&mut self, first: usize) -> Self {
        Self { unit: self.unit, all: self.all.split_off(first) }
    }

    fn raw(&self, name: &str) -> &[f64] {
        self.all.iter().find(|(other, _)| other == name).map_or(&[], |(_, times)| times)
    }

    /// Prints a table, and returns it by name: the time, and `times_ours`, its ratio to the first.
    pub(crate) fn report(&self, title: &str) -> Value {
        let rounds = self.all.first().map_or(0, |(_, times)| times.len());
        println!("\n{title}, {rounds} rounds:");
        println!("{:<40}{:>28}{:>24}", "", "time", "times the first");
        let mut raw = Map::new();
        let first = self.all.first().map_or("", |(name, _)| name);
        for (name, times) in &self.all {
            let (time, ratio) = (Spread::of(times), self.ratio(name, first));
            let unit = format!(" {}", self.unit);
            println!("{name:<40}{:>28}{:>24}", time.with_unit(&unit), ratio.with_unit(""));
            let found = json!({ self.unit: time.json(), "times_ours": ratio.json() });
            raw.insert(name.clone(), found);
        }
        raw.into()
    }
}
