//! Lookup of tasks by name: the built-in ones and those that the program adds.

use std::sync::{Mutex, PoisonError};

use super::TASKS;
use crate::error::{Error, Result};
use crate::settings::{Options, unknown};
use crate::task::{Plan, Task};

/// Tasks added by the program, in addition to [`TASKS`].
static OWN: Mutex<Vec<&'static dyn Task>> = Mutex::new(Vec::new());

/// Adds tasks to the lookup. A task replaces an existing one with its name.
pub fn add(tasks: &[&'static dyn Task]) {
    let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    for &task in tasks {
        own.retain(|other| other.name() != task.name());
        own.push(task);
    }
}

/// Returns all tasks of the lookup.
pub fn all() -> Vec<&'static dyn Task> {
    let own = OWN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let is_kept = |task: &&'static dyn Task| own.iter().all(|own| own.name() != task.name());
    TASKS.iter().copied().filter(is_kept).chain(own.iter().copied()).collect()
}

/// Returns the names of all tasks.
pub fn names() -> Vec<&'static str> {
    all().iter().map(|task| task.name()).collect()
}

/// Finds a task by name.
///
/// # Errors
/// When the name is unknown. The message suggests the closest known name and lists all of them.
pub fn named(name: &str) -> Result<&'static dyn Task> {
    let found = all().into_iter().find(|task| task.name() == name);
    found.ok_or_else(|| unknown("task", name, &names()))
}

impl Plan {
    /// Parses a plan from TOML: the name of a task, and settings that override its preset.
    ///
    /// # Errors
    /// As [`Options::parse`] and [`Plan::resolve`].
    pub fn parse(text: &str) -> Result<Self> {
        Self::resolve(&Options::parse(text)?)
    }

    /// Makes a plan from the user's settings: the name of a task, and settings that override its
    /// preset.
    ///
    /// # Errors
    /// When the task is missing or unknown, a value is not valid, or a given setting has no effect.
    pub fn resolve(given: &Options) -> Result<Self> {
        match given.get::<String>("task") {
            Some(name) => Self::new(named(&name)?, given),
            None => Err(Error::input(format!("no task given; choose from {}", names().join(", ")))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{RuleName, Settings};
    use std::path::PathBuf;
    use zor_core::Rule;

    fn resolve(toml: &str) -> Result<Settings> {
        Ok(Plan::parse(toml)?.settings)
    }

    fn refused(toml: &str, words: &[&str]) {
        let message = resolve(toml).unwrap_err().to_string();
        for word in words {
            assert!(message.contains(word), "'{word}' is not in: {message}");
        }
    }

    const TASK: &str = "task = 'fashion-reconstruction'\n";

    #[test]
    fn a_training_is_repeated_by_the_settings_it_writes() {
        let mut texts: Vec<String> =
            names().iter().map(|name| format!("task = '{name}'")).collect();
        texts.push("task = 'fashion-classification'\nnetwork = 'dense'".to_owned());
        texts.push("task = 'cifar-classification'\nrule = 'backprop'".to_owned());
        for extra in [
            "train_samples = 'all'",
            "rule = 'classic'\naugment = false",
            "threshold = 0.5",
            "optimizer = 'adam'",
        ] {
            texts.push(format!("{TASK}{extra}"));
        }
        for text in texts {
            let settings = resolve(&text).unwrap();
            let written = settings.to_toml().unwrap();
            assert_eq!(resolve(&written).unwrap(), settings, "{written}");
            let json = serde_json::to_value(&settings).unwrap();
            assert_eq!(
                Plan::resolve(&Options::from_json(json).unwrap()).unwrap().settings,
                settings
            );
        }
    }

    #[test]
    fn settings_of_earlier_versions_are_understood() {
        let json = serde_json::json!({
            "task": "cifar-classification", "model": "dense", "rule": "default", "seed": 3,
            "threshold": 0.25, "target_spike_rate": null, "learning_rate": 0.019_999_999_552_965_164,
            "augment": false, "augmentation": null, "images": "/own", "momentum": 0.5,
        });
        let settings = Plan::resolve(&Options::from_json(json).unwrap()).unwrap().settings;
        assert_eq!((&settings.network[..], settings.seed), ("dense", 3));
        assert_eq!((settings.rule_settings.threshold, settings.learning_rate), (0.25, 0.02));
        assert_eq!(settings.data, Some(PathBuf::from("/own")));
    }

    #[test]
    fn later_settings_win_and_tables_are_merged_key_by_key() {
        let file =
            Options::parse("steps = 5\nsamples_per_class = 3\naugmentation.shift = 1").unwrap();
        let flags = Options::parse("train_samples = 'all'\naugmentation.dim = 0.5").unwrap();
        let both = flags.or(file);
        assert_eq!((both.get("steps"), both.has("samples_per_class")), (Some(5), false));
        let task = Options::parse("task = 'fashion-classification'").unwrap();
        let augmentation = Plan::resolve(&both.or(task)).unwrap().settings.augmentation;
        assert_eq!((augmentation.shift, augmentation.dim), (1, 0.5));
        assert!(augmentation.flip, "the task's own stays");
    }

    #[test]
    fn the_rule_of_backprop_is_the_tasks_own_without_normalisation() {
        for task in names() {
            let own = resolve(&format!("task = '{task}'")).unwrap();
            let backprop = resolve(&format!("task = '{task}'\nrule = 'backprop'")).unwrap();
            let rule_settings = Rule {
                normalize_signal: false,
                normalize_presynaptic: false,
                ..own.rule_settings.clone()
            };
            assert_eq!(backprop, Settings { rule_settings, rule: RuleName::Backprop, ..own });
        }
    }

    #[test]
    fn small_pools_as_they_are_get_gates_that_stay_open() {
        let task = "task = 'cifar-reconstruction'\ntrain_samples = 64\n";
        let plain = resolve(&format!("{task}augment = false")).unwrap();
        assert_eq!((plain.rule_settings.threshold, plain.batch), (-100.0, 64));
        let augmented = resolve(task).unwrap();
        assert!(augmented.augmentation().is_some_and(|augment| augment.stretch > 0.0));
        assert_eq!(augmented.rule_settings.threshold, -2.0);
    }

    #[test]
    fn another_optimizer_brings_its_own_learning_rate() {
        let settings = resolve(&format!("{TASK}optimizer = 'adamw'")).unwrap();
        assert_eq!((settings.learning_rate, settings.weight_decay), (1e-3, 0.01));
        let settings = resolve(&format!("{TASK}optimizer = 'adamw'\nlearning_rate = 0.5")).unwrap();
        assert_eq!(settings.learning_rate, 0.5);
    }

    #[test]
    fn settings_without_effect_are_refused() {
        let cifar = "task = 'cifar-classification'\n";
        let cases = [
            (format!("{TASK}optimizer = 'adam'\nweight_decay = 0.5"), "weight_decay"),
            (format!("{TASK}label_smoothing = 0.9"), "label_smoothing"),
            (format!("{TASK}early_crop = 0.5"), "early_crop"),
            (format!("{TASK}test_time_flip = true"), "test_time_flip"),
            (format!("{TASK}target = 'price'"), "target"),
            (format!("{TASK}augment = false\n[augmentation]\nshift = 3"), "augmentation"),
            (format!("{TASK}train_samples = 'all'\nsamples = 'random'"), "samples"),
            (format!("{cifar}hidden = 5"), "hidden"),
            (format!("{cifar}output_activation = 'relu'"), "output_activation"),
            (format!("{cifar}target_spike_rate = 0.2\nearly_crop = 0.5"), "early_crop"),
            ("task = 'fashion-classification'\nhidden = 5".to_owned(), "hidden"),
            ("task = 'cifar-colorization'\nhidden = 5".to_owned(), "hidden"),
            (
                "task = 'cifar-reconstruction'\nnetwork = 'conv'\nearly_crop = 0.5".to_owned(),
                "early_crop",
            ),
        ];
        for (toml, name) in cases {
            refused(&toml, &[name, "no effect"]);
        }
        // Values that equal the preset are accepted, and so are settings that have an effect.
        for toml in [
            format!("{TASK}optimizer = 'adam'\nweight_decay = 0.0"),
            format!("{TASK}label_smoothing = 0.0\nearly_crop = 1.0\nhidden = 5"),
            format!("{cifar}network = 'mlp'\nhidden = 5\nlabel_smoothing = 0.3"),
            format!("{cifar}early_crop = 0.875"),
            "task = 'cifar-reconstruction'\nnetwork = 'conv'\nhidden = 5".to_owned(),
        ] {
            resolve(&toml).unwrap();
        }
    }

    #[test]
    fn two_places_of_data_exclude_each_other_and_a_later_one_replaces_either() {
        refused(&format!("{TASK}data = 'a'\ndata_dir = 'b'"), &["data", "data_dir", "exclusive"]);
        let parse = |text| Options::parse(text).unwrap();
        let both = parse("data_dir = 'b'").or(parse("data = 'a'"));
        assert_eq!((both.has("data"), both.has("data_dir")), (false, true));
        let both = parse("data = 'a'").or(parse("data_dir = 'b'"));
        assert_eq!((both.has("data"), both.has("data_dir")), (true, false));
    }

    #[test]
    fn mistakes_are_named_with_their_line_and_the_nearest_key() {
        refused(&format!("{TASK}\nstep = 5"), &["line 3", "'step'", "did you mean 'steps'"]);
        refused(&format!("{TASK}tresholt = 1"), &["line 2", "did you mean 'threshold'"]);
        let inner = format!("{TASK}steps = 1\n[augmentation]\nflip = true\nshft = 3");
        refused(&inner, &["line 5", "'shft'", "did you mean 'shift'"]);
        refused(&format!("{TASK}steps = 'many'"), &["line 2", "steps: ", "many"]);
        refused(&format!("{TASK}steps = \n"), &["line 2"]);
        refused("task = 'fashion-reconstrution'", &["did you mean 'fashion-reconstruction'"]);
        refused(&format!("{TASK}network = 'dens'"), &["no network 'dens'", "did you mean 'dense'"]);
    }

    #[test]
    fn settings_that_cannot_be_used_are_refused_by_name() {
        refused("", &["no task", "fashion-reconstruction"]);
        refused("task = 'knitting'", &["knitting", "fashion-reconstruction"]);
        refused(&format!("{TASK}network = 'conv'"), &["no network 'conv'", "dense"]);
        refused(&format!("{TASK}colour = 1"), &["colour"]);
        refused(&format!("{TASK}steps = 0"), &["steps", "at least 1"]);
        refused(&format!("{TASK}batch = 0"), &["batch"]);
        refused(&format!("{TASK}samples_per_class = 0"), &["samples_per_class"]);
        refused(&format!("{TASK}train_samples = 0"), &["train_samples"]);
        refused(&format!("{TASK}learning_rate = nan"), &["learning rate", "NaN"]);
        refused(&format!("{TASK}learning_rate = inf"), &["learning rate", "inf"]);
        refused(&format!("{TASK}optimizer = 'lion'"), &["lion", "muon"]);
        refused(&format!("{TASK}threshold = nan"), &["threshold"]);
        refused(&format!("{TASK}target_spike_rate = 1.5"), &["target_spike_rate", "at most 1"]);
        refused(&format!("{TASK}momentum = 1.0"), &["momentum", "[0, 1)"]);
        refused(
            &format!("{TASK}optimizer = 'adam'\nmomentum = 0.5"),
            &["momentum", "muon", "adam"],
        );
        refused(
            "task = 'fashion-classification'\nlabel_smoothing = 1.5",
            &["label_smoothing", "0 to 1"],
        );
        refused("task = 'cifar-colorization'\nearly_crop = 0.0", &["early_crop", "at most 1"]);
        refused(&format!("{TASK}train_samples = 5\nsamples_per_class = 1"), &["exclusive"]);
    }
}
