//! Settings given by the user, as a table of keys and values: from a TOML file, from flags, or both
//! merged.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::Settings;
use super::names::{Count, OptimizerName, RuleName, TrainingSize, did_you_mean};
use crate::error::{Error, Result};

/// Top-level shorthands for keys inside tables.
const SHORT: [(&str, &str); 2] =
    [("threshold", "rule_settings"), ("target_spike_rate", "rule_settings")];

/// Mutually exclusive keys; the one given last replaces the other.
const EXCLUSIVE: [[&str; 2]; 2] = [["train_samples", "samples_per_class"], ["data", "data_dir"]];

/// Settings that a user gives; all others are the task's.
///
/// ```
/// use zor::settings::Options;
/// use zor::task::Plan;
/// let file = Options::parse("task = 'fashion-reconstruction'\nsteps = 5\nseed = 1")?;
/// let flags = Options::parse("steps = 7")?;
/// let settings = Plan::resolve(&flags.or(file))?.settings;
/// assert_eq!((settings.steps, settings.seed), (7, 1));
/// # Ok::<(), zor::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options(Table);

impl Options {
    /// Parses settings from TOML.
    ///
    /// # Errors
    /// When the text is not valid TOML, a key is unknown, or a value is not valid for its key. The
    /// message gives the line.
    pub fn parse(text: &str) -> Result<Self> {
        let line = |at: usize| text[..at].matches('\n').count() + 1;
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            let at = error.span().map_or(1, |span| line(span.start));
            Error::input(format!("line {at}: {}", one_line(error.message())))
        })?;
        for (key, value) in &table {
            check(key, value).map_err(|error| {
                let at = position(text, key, &error.to_string()).map_or(1, line);
                error.at(format_args!("line {at}"))
            })?;
        }
        Ok(Self(spelled_out(table)))
    }

    /// Validates settings in a TOML table.
    ///
    /// # Errors
    /// When a key is unknown or a value is not valid for its key. For an unknown key, the message
    /// suggests the closest known one.
    pub fn from_table(table: Table) -> Result<Self> {
        for (key, value) in &table {
            check(key, value)?;
        }
        Ok(Self(spelled_out(table)))
    }

    /// Converts settings from the JSON object in a model or checkpoint file. Key names of earlier
    /// versions are accepted.
    ///
    /// # Errors
    /// As [`Options::from_table`].
    pub fn from_json(object: serde_json::Value) -> Result<Self> {
        let mut table = Table::try_from(without_null(object))
            .map_err(|error| Error::input(format!("not valid settings: {error}")))?;
        for (earlier, now) in [("model", "network"), ("images", "data")] {
            if let Some(value) = table.remove(earlier) {
                table.insert(now.to_owned(), value);
            }
        }
        Self::from_table(table)
    }

    /// Merges with `others`; where both have a key, the value of `self` is used.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        let mut table = others.0;
        merge(&mut table, self.0);
        Self(table)
    }

    /// Sets a key.
    ///
    /// # Errors
    /// When the key is unknown, or the value is not valid for it.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) -> Result<()> {
        let table = Table::from_iter([(key.to_owned(), value.into())]);
        merge_tables(&mut self.0, Self::from_table(table)?.0);
        Ok(())
    }

    /// Removes a key.
    pub fn remove(&mut self, key: &str) {
        self.0.remove(key);
    }

    /// Whether a key is given.
    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Returns the value of a key, if given.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        self.0.get(key)?.clone().try_into().ok()
    }

    /// Returns the rule preset, or the default one if none is given.
    pub fn rule(&self) -> RuleName {
        self.get("rule").unwrap_or(RuleName::Default)
    }

    /// Returns the network name, if given.
    pub fn network(&self) -> Option<String> {
        self.get("network").map(super::network_name)
    }

    /// Returns the optimizer, if given.
    pub fn optimizer(&self) -> Option<OptimizerName> {
        self.get("optimizer")
    }

    /// Whether a target spike rate is given.
    pub fn is_sparse(&self) -> bool {
        let rule = self.get::<Table>("rule_settings");
        rule.is_some_and(|rule| rule.contains_key("target_spike_rate"))
    }

    /// Returns the number of training examples, if given.
    pub fn training_size(&self) -> Option<TrainingSize> {
        match (self.get("samples_per_class"), self.get("train_samples")) {
            (Some(n), _) => Some(TrainingSize::PerClass(n)),
            (None, Some(Count::Number(n))) => Some(TrainingSize::Total(n)),
            (None, Some(Count::All)) => Some(TrainingSize::All),
            (None, None) => None,
        }
    }

    /// Applies these settings on top of `others`.
    ///
    /// # Errors
    /// When two mutually exclusive settings are given.
    pub(crate) fn over(&self, others: &Settings) -> Result<Settings> {
        for [one, other] in EXCLUSIVE {
            if self.has(one) && self.has(other) {
                return Err(Error::input(format!(
                    "{one} and {other} are mutually exclusive; give only one of them"
                )));
            }
        }
        let wrong = |error: &dyn std::fmt::Display| {
            Error::input(format!("the settings of {} cannot be merged: {error}", others.task))
        };
        let mut table = Table::try_from(others).map_err(|error| wrong(&error))?;
        merge(&mut table, self.0.clone());
        Settings::deserialize(table).map_err(|error| wrong(&error.message()))
    }
}

/// Merges `added` into `table`; values of `added` replace those in `table`.
fn merge(table: &mut Table, added: Table) {
    for keys in EXCLUSIVE {
        if keys.iter().any(|key| added.contains_key(*key)) {
            keys.iter().for_each(|key| drop(table.remove(*key)));
        }
    }
    merge_tables(table, added);
}

fn merge_tables(table: &mut Table, added: Table) {
    for (key, value) in added {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(added)) => merge_tables(inner, added),
            (_, value) => drop(table.insert(key, value)),
        }
    }
}

/// Moves shorthand keys into their tables.
fn spelled_out(mut table: Table) -> Table {
    for (key, inside) in SHORT {
        if let Some(value) = table.remove(key) {
            let table = table.entry(inside).or_insert_with(|| Value::Table(Table::new()));
            if let Some(table) = table.as_table_mut() {
                table.insert(key.to_owned(), value);
            }
        }
    }
    table
}

/// Validates a key and its value.
fn check(key: &str, value: &Value) -> Result<()> {
    let table = spelled_out(Table::from_iter([(key.to_owned(), value.clone())]));
    match Settings::deserialize(table) {
        Ok(_) => Ok(()),
        Err(error) => {
            let message = explained(error.message());
            let is_of_key = message.starts_with("unknown setting");
            Err(Error::input(if is_of_key { message } else { format!("{key}: {message}") }))
        }
    }
}

/// Returns the byte position of a key in `text`. For a key inside a table, `message` quotes it
/// first.
fn position(text: &str, key: &str, message: &str) -> Option<usize> {
    let table = DeTable::parse(text).ok()?.into_inner();
    let (found, value) = table.iter().find(|(name, _)| name.get_ref() == key)?;
    let quoted = message.split('\'').nth(1);
    if let (DeValue::Table(inner), Some(quoted)) = (value.get_ref(), quoted)
        && let Some((inner, _)) = inner.iter().find(|(name, _)| name.get_ref() == quoted)
    {
        return Some(inner.span().start);
    }
    Some(found.span().start)
}

/// Joins the lines of a parser's message. For an unknown key, adds the closest of the expected keys
/// that the message lists.
fn explained(message: &str) -> String {
    let line = one_line(message);
    let mut quoted = line.split('`').skip(1).step_by(2);
    match quoted.next() {
        Some(unknown) if line.starts_with("unknown field") => {
            let short = SHORT.iter().map(|(key, _)| *key);
            let suggestion = did_you_mean(unknown, quoted.chain(short));
            let known = line.split_once(", ").map_or("", |(_, known)| known);
            format!("unknown setting '{unknown}'; {suggestion}{}", known.replace('`', ""))
        }
        _ => line,
    }
}

fn one_line(message: &str) -> String {
    message.lines().collect::<Vec<_>>().join(" ")
}

/// Removes JSON keys whose value is null, which TOML cannot represent.
fn without_null(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(object) => object
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key, without_null(value)))
            .collect(),
        value => value,
    }
}
