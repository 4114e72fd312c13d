//! Command-line arguments of `zor`.

use std::path::PathBuf;

use std::ffi::{OsStr, OsString};

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use serde::Serialize;
use zor_data::Size;
use zor_io::DType;

use super::absolute;
use crate::settings::{
    ClassBalance, Count, OptimizerName, Options, Precision, RuleName, ScheduleName, Selection,
    Settings, check_path,
};
use crate::tasks;
use crate::{Error, Result};

/// Train neural networks of analog-spike gates with a local correlation rule.
#[derive(Debug, Parser)]
#[command(name = "zor", version, about, arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Train a network on a task, evaluate it, and save it in a run folder
    Train(Box<TrainArguments>),
    /// List the tasks, or show the networks and settings of one task
    Tasks {
        /// Task to describe [default: list all tasks]
        #[arg(value_parser = TaskParser)]
        name: Option<String>,
    },
    /// Evaluate a saved model on the data of its task or on your own data
    Eval(EvalArguments),
    /// Reconstruct your own images with a saved model
    Reconstruct(ReconstructArguments),
    /// Classify your own images: print the probabilities of all classes, the most likely first
    Classify(ClassifyArguments),
    /// Colorize your own images of any size
    Colorize(ColorizeArguments),
    /// Predict a column of your own table with a saved model
    Predict(PredictArguments),
    /// Score the rows of a table or a stream with a saved detector, and raise alarms
    Detect(DetectArguments),
    /// Translate the lines of a text file with a saved model
    Translate(TranslateArguments),
    /// Score translations in a text file against references: print BLEU and chrF
    Score(ScoreArguments),
    /// Show the layers and metadata of a model, checkpoint, .safetensors file or .zore program
    Info {
        /// File, run folder or task folder
        file: PathBuf,
    },
    /// Check a file for damage and for values that are infinite or NaN
    Verify {
        /// Model, checkpoint, .safetensors file, .zore program, run folder or task folder
        file: PathBuf,
    },
    /// Convert a model between .zor and .safetensors, or to .npz; the file names select the formats
    Convert(ConvertArguments),
    /// Export a model as a .zore program, which zor-edge runs on small devices and in browsers
    Export(ExportArguments),
    /// List, locate and download data sets
    #[command(subcommand)]
    Data(DataCommand),
    /// List the available devices, and what is missing for the others
    Devices(DevicesArguments),
    /// Print a shell completion script
    Completions {
        /// Shell to complete for
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub(super) struct DevicesArguments {
    /// Use only this device, such as cuda or cuda:1 [default: all]
    #[arg(long, value_name = "NAME")]
    pub(super) device: Option<String>,
    /// Compare the results of each device with those of the CPU
    #[arg(long)]
    pub(super) verify: bool,
    /// Benchmark matrix multiplication and training steps on each device
    #[arg(long)]
    pub(super) time: bool,
    /// Benchmark only training steps of a dense network with these layer sizes, such as 784-64-784
    #[arg(long, value_name = "SIZES", requires = "time", requires = "batch")]
    pub(super) network: Option<Sizes>,
    /// Batch size for --network
    #[arg(long, value_name = "N", requires = "network", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) batch: Option<u32>,
    /// Precision of matrix multiplication on GPUs: f32, tf32 or bf16
    #[arg(long, default_value = "f32", requires = "time")]
    pub(super) precision: Precision,
}

/// Numbers of inputs, hidden units and outputs of a network.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes(pub(super) [usize; 3]);

impl std::str::FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || format!("'{text}' is not three positive sizes, such as 784-64-784");
        let sizes: Vec<usize> = text
            .split('-')
            .map(|size| size.parse().ok().filter(|size| *size > 0).ok_or_else(wrong))
            .collect::<std::result::Result<_, _>>()?;
        sizes.try_into().map(Sizes).map_err(|_| wrong())
    }
}

/// Flags for settings, named like the keys of a TOML file.
#[derive(Debug, Args, Serialize)]
struct SettingFlags {
    /// Network architecture; `zor tasks TASK` lists those of a task
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// Learning rule: default, classic or backprop
    #[arg(long)]
    rule: Option<RuleName>,
    /// Number of training steps
    #[arg(long, value_name = "N", value_parser = whole)]
    steps: Option<u64>,
    /// Batch size
    #[arg(long, value_name = "N", value_parser = whole_size)]
    batch: Option<usize>,
    /// Peak learning rate
    #[arg(long, value_name = "RATE")]
    learning_rate: Option<f32>,
    /// Learning-rate schedule: constant, cosine or linear
    #[arg(long)]
    schedule: Option<ScheduleName>,
    /// Optimizer: muon, adamw, adam or sgd
    #[arg(long)]
    optimizer: Option<OptimizerName>,
    /// Class balancing: none, weights (weight the errors by class) or sampling (draw all classes
    /// equally often) [default: none]
    #[arg(long, value_name = "WAY")]
    class_balance: Option<ClassBalance>,
    /// Number of units in each hidden layer
    #[arg(long, value_name = "N", value_parser = whole_size)]
    hidden: Option<usize>,
    /// Target fraction of hidden units that fire, such as 0.1; 1 turns the target off. Silent units
    /// cost nothing on small devices (`zor export`)
    #[arg(long, value_name = "SHARE")]
    target_spike_rate: Option<f32>,
    /// Number of training examples, or 'all'
    #[arg(long, value_name = "N|all", conflicts_with = "samples_per_class")]
    train_samples: Option<Count>,
    /// Number of training examples per class
    #[arg(long, value_name = "N", value_parser = whole_size)]
    samples_per_class: Option<usize>,
    /// Selection of training examples if not all are used: first or random
    #[arg(long, value_name = "first|random")]
    samples: Option<Selection>,
    /// Hold out the last N training examples, in proportion to the class sizes, and evaluate on
    /// them instead of the test set
    #[arg(long, value_name = "N", value_parser = whole_size)]
    hold_out: Option<usize>,
    /// Random seed for weights, batches, augmentation and the selection of examples
    #[arg(long, value_name = "N", value_parser = whole)]
    seed: Option<u64>,
    /// Number of CPU threads [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Device: auto, or one listed by `zor devices`, such as flex, wgpu, cuda or cuda:1
    #[arg(long)]
    device: Option<String>,
    /// Precision of matrix multiplication on GPUs: f32, tf32 or bf16 [default: f32]
    #[arg(long)]
    precision: Option<Precision>,
    /// Folder with the named data sets
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Your own data: a folder of PNG, JPEG or WebP images of equal size, a .npy array of bytes;
    /// for the tasks table and detection a .csv, .npy or .npz file, or '-' for CSV from standard
    /// input; for translation a .tsv or .jsonl file of sentence pairs, or PATH for the lines of
    /// PATH.A and PATH.B
    #[arg(long, value_name = "PATH", conflicts_with = "data_dir")]
    data: Option<PathBuf>,
    /// Resize your own images to this size, such as 32x32; saved with the model
    #[arg(long, value_name = "SIZE")]
    resize: Option<Size>,
    /// Centre-crop your own images to this size after resizing; saved with the model
    #[arg(long, value_name = "SIZE")]
    crop: Option<Size>,
    /// Table column to predict
    #[arg(long, value_name = "COLUMN")]
    target: Option<String>,
    /// Table column to ignore; may be repeated
    #[arg(long, value_name = "COLUMN")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignore: Vec<String>,
    /// Table column with labels for the evaluation of a detector: 1 for an anomaly, 0 for a normal
    /// row. Anomalies are not trained on
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    /// Number of consecutive rows of a series that a detector reads together [default: 1, a table]
    #[arg(long, value_name = "N", value_parser = whole_size)]
    window: Option<usize>,
    /// Number of rows from the start of a window to the start of the next [default: 1]
    #[arg(long, value_name = "N", value_parser = whole_size)]
    stride: Option<usize>,
    /// Table column with time stamps, numbers or dates; a window does not span a gap
    #[arg(long, value_name = "COLUMN")]
    time: Option<String>,
    #[command(flatten)]
    #[serde(skip_serializing_if = "TranslationFlags::is_empty")]
    translation: TranslationFlags,
}

/// Flags for settings of translation.
#[derive(Debug, Args, Serialize)]
struct TranslationFlags {
    /// The two languages of sentence pairs, such as en,pcm, in the order of their columns
    #[arg(long, value_name = "A,B")]
    languages: Option<String>,
    /// Sentence pairs to evaluate translations on [default: held-out pairs of --data]
    #[arg(long, value_name = "FILE")]
    dev: Option<PathBuf>,
    /// Named corpus of sentence pairs, such as en-pcm; `zor data list` shows all
    #[arg(long, value_name = "NAME", conflicts_with = "data")]
    corpus: Option<String>,
    /// Number of tokens of the vocabulary [default: by the number of pairs]
    #[arg(long, value_name = "N", value_parser = whole_size)]
    vocabulary: Option<usize>,
}

impl TranslationFlags {
    fn is_empty(&self) -> bool {
        self.languages.is_none()
            && self.dev.is_none()
            && self.corpus.is_none()
            && self.vocabulary.is_none()
    }
}

#[derive(Debug, Args)]
pub(super) struct TrainArguments {
    /// Task to train
    #[arg(value_parser = TaskParser)]
    task: Option<String>,
    /// Read settings from a TOML file; flags override it
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    flags: SettingFlags,
    /// Augment the training images at random
    #[arg(long, conflicts_with = "no_augment")]
    augment: bool,
    /// Turn augmentation off
    #[arg(long)]
    no_augment: bool,
    #[command(flatten)]
    views: ViewArguments,
    /// Skip damaged files among your own images
    #[arg(long)]
    skip_damaged: bool,
    /// Also train a backpropagation baseline
    #[arg(long, conflicts_with = "no_baseline")]
    baseline: bool,
    /// Skip the backpropagation baseline
    #[arg(long)]
    no_baseline: bool,
    /// Translate without a lexicon that suggests translations of words
    #[arg(long)]
    no_lexicon: bool,
    /// Set any key shown by `zor tasks TASK`, such as schedule=cosine or augmentation.shift=2; the
    /// dedicated flags override it
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Run folder for the model, pictures and metrics; must not contain a run yet [default: a new
    /// folder, runs/TASK/DATE-NUMBER]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Replace the run in the --out folder; with --resume, remove checkpoints of later steps
    #[arg(long)]
    pub(super) overwrite: bool,
    /// Save a checkpoint every N steps, to resume from with --resume
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) checkpoint_every: Option<u64>,
    /// Keep the last N checkpoints, and the best one
    #[arg(long, value_name = "N", default_value = "3", requires = "checkpoint_every",
          value_parser = at_least_one)]
    pub(super) keep: usize,
    /// Resume from a checkpoint file, or from the latest in a run folder or task folder. Uses its
    /// settings; raise --steps to train longer
    #[arg(long, value_name = "PATH", conflicts_with_all = [
        "task", "config", "network", "rule", "batch", "learning_rate", "schedule", "optimizer", "hidden", "target_spike_rate", "train_samples",
        "samples_per_class", "samples", "augment", "no_augment", "seed", "target", "ignore", "label", "window", "stride", "time", "languages", "corpus", "vocabulary",
        "no_lexicon", "set",
    ])]
    pub(super) resume: Option<PathBuf>,
    /// Initialize the weights from a model or checkpoint; its settings are the defaults
    #[arg(long, value_name = "MODEL", conflicts_with_all = ["network", "rule", "hidden", "resume"])]
    pub(super) from: Option<PathBuf>,
    /// Print the results as one JSON object in the last line of standard output
    #[arg(long)]
    pub(super) json: bool,
}

impl TrainArguments {
    /// Returns the settings given as flags. Dedicated flags override `--set`.
    ///
    /// # Errors
    /// When a key of `--set` is unknown, a value cannot be written as TOML, or the current folder,
    /// which relative paths start from, cannot be determined.
    pub(super) fn options(&self) -> Result<Options> {
        for (flag, path) in [("--data", &self.flags.data), ("--data-dir", &self.flags.data_dir)] {
            check_path(flag, path.as_deref())?;
        }
        let mut flags = toml::Table::try_from(&self.flags).map_err(|error| {
            Error::input(format!("a flag has a value that cannot be stored in settings: {error}"))
        })?;
        let mut add = |key: &str, value: bool| drop(flags.insert(key.to_owned(), value.into()));
        let switches = [
            ("augment", self.augment, self.no_augment),
            ("baseline", self.baseline, self.no_baseline),
            ("test_time_flip", self.views.test_time_flip, false),
            ("test_time_shift", self.views.test_time_shift, false),
            ("skip_damaged", self.skip_damaged, false),
        ];
        for (key, on, off) in switches {
            if on || off {
                add(key, on);
            }
        }
        if self.no_lexicon {
            let translation = flags.entry("translation").or_insert(toml::Table::new().into());
            if let Some(translation) = translation.as_table_mut() {
                translation.insert("lexicon".to_owned(), false.into());
            }
        }
        if let Some(task) = &self.task {
            flags.insert("task".to_owned(), task.clone().into());
        }
        let mut options = Options::from_table(flags)?.or(settings(&self.set)?);
        for key in ["data", "data_dir"] {
            if let Some(path) = options.get::<PathBuf>(key) {
                options.set(key, absolute(&path)?.to_string_lossy().into_owned())?;
            }
        }
        Ok(options)
    }
}

/// Parses settings from `KEY=VALUE` pairs. Keys may be dotted as in TOML; a value that is not valid
/// TOML is taken as a string.
fn settings(pairs: &[String]) -> Result<Options> {
    let mut options = Options::default();
    for pair in pairs {
        let wrong = |reason: String| Error::input(format!("--set {pair}: {reason}"));
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| wrong("write KEY=VALUE, such as schedule=cosine".to_owned()))?;
        let text = toml::Value::String(value.to_owned());
        let parsed: toml::Table = format!("{key} = {value}")
            .parse()
            .or_else(|_| format!("{key} = {text}").parse())
            .map_err(|_| wrong(format!("'{key}' is not a valid key")))?;
        let given = Options::from_table(parsed).map_err(|error| wrong(error.to_string()))?;
        options = given.or(options);
    }
    Ok(options)
}

/// Parser for task names.
#[derive(Clone, Debug)]
struct TaskParser;

impl TypedValueParser for TaskParser {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> std::result::Result<String, clap::Error> {
        let known = |name: String| tasks::named(&name).map(|_| name);
        StringValueParser::new().try_map(known).parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let tasks = tasks::all().into_iter();
        Some(Box::new(tasks.map(|task| PossibleValue::new(task.name()).help(task.about()))))
    }
}

/// The clap command. If the arguments name a task, the help of `train` lists its settings.
fn command(words: &[OsString]) -> clap::Command {
    let named = words.iter().find_map(|word| tasks::named(word.to_str()?).ok());
    Arguments::command().mut_subcommand("train", |train| match named {
        Some(task) => {
            let settings = super::tasks::description(task).unwrap_or_default();
            train.after_help(settings)
        }
        None => train.after_help("`zor train TASK --help` shows the settings of a task."),
    })
}

/// Parses the arguments after the program's name. Exits on errors and after `--help` or
/// `--version`.
pub(super) fn parse(words: Vec<OsString>) -> Command {
    let mut parser = command(&words);
    let named = std::iter::once(OsString::from("zor")).chain(words);
    let mut matches = match parser.try_get_matches_from_mut(named) {
        Ok(matches) => matches,
        Err(error) => error.exit(),
    };
    match Arguments::from_arg_matches_mut(&mut matches) {
        Ok(arguments) => arguments.command,
        Err(error) => error.format(&mut parser).exit(),
    }
}

/// A shell completion script.
pub(super) fn completions(shell: clap_complete::Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(&[]), "zor", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[derive(Debug, Args)]
pub(super) struct EvalArguments {
    /// Model file, run folder or task folder
    #[arg(long, value_name = "MODEL")]
    pub(super) model: PathBuf,
    /// Folder with the named data sets
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// Evaluate on all of your own data instead: a folder of images, a .npy array of bytes; for the
    /// tasks table and detection a .csv, .npy or .npz file, or '-' for CSV from standard input; for
    /// translation sentence pairs as in a training
    #[arg(long, value_name = "PATH", conflicts_with = "data_dir")]
    pub(super) data: Option<PathBuf>,
    /// Table column with labels for the evaluation of a detector: 1 for an anomaly, 0 for a normal
    /// row
    #[arg(long, value_name = "COLUMN", requires = "data")]
    pub(super) label: Option<String>,
    #[command(flatten)]
    pub(super) views: ViewArguments,
    /// Device: auto, or one listed by `zor devices`, such as flex, wgpu, cuda or cuda:1
    #[arg(long, default_value = "auto")]
    pub(super) device: String,
    /// Number of CPU threads [default: all cores]
    #[arg(long, value_name = "N")]
    pub(super) threads: Option<usize>,
    /// Print the results as one JSON object in the last line of standard output
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct DetectArguments {
    /// Model file, run folder or task folder of the task detection
    #[arg(long, value_name = "MODEL")]
    pub(super) model: PathBuf,
    /// CSV file, .npy or .npz file, or '-' for CSV from standard input, scored row by row as it
    /// comes in
    pub(super) file: PathBuf,
    /// Largest share of normal rows that may raise an alarm, above 0 and below 1
    #[arg(long, value_name = "SHARE", default_value = "0.05")]
    pub(super) false_alarm_rate: f32,
    /// Print one JSON object per row instead of CSV
    #[arg(long)]
    pub(super) json_lines: bool,
    /// Add the columns that make a row strange, with the values that were expected
    #[arg(long)]
    pub(super) explain: bool,
    /// Stop at the first row that cannot be read
    #[arg(long)]
    pub(super) strict: bool,
    /// Learn from rows without alarm. The promised false-alarm rate ends there
    #[arg(long, requires = "save")]
    pub(super) adapt: bool,
    /// Save the adapted detector as this file
    #[arg(long, value_name = "MODEL", requires = "adapt")]
    pub(super) save: Option<PathBuf>,
    /// Draw scores and alarms over the rows as this SVG file
    #[arg(long, value_name = "FILE")]
    pub(super) plot: Option<PathBuf>,
    /// Device: auto, or one listed by `zor devices`, such as flex, wgpu, cuda or cuda:1
    #[arg(long, default_value = "auto")]
    pub(super) device: String,
    /// Number of CPU threads [default: all cores]
    #[arg(long, value_name = "N")]
    pub(super) threads: Option<usize>,
}

#[derive(Debug, Args)]
pub(super) struct ReconstructArguments {
    /// Model file, run folder or task folder
    #[arg(long, value_name = "MODEL")]
    pub(super) model: PathBuf,
    /// PNG, JPEG or WebP images of the size that the model takes (clothing: light on black)
    #[arg(required = true)]
    pub(super) images: Vec<PathBuf>,
    /// Output image: inputs in the top row, reconstructions below
    #[arg(long, value_name = "FILE", default_value = "reconstructions.png")]
    pub(super) out: PathBuf,
    /// Device: auto, or one listed by `zor devices`, such as flex, wgpu, cuda or cuda:1
    #[arg(long, default_value = "auto")]
    pub(super) device: String,
}

/// Flags for test-time augmentation.
#[derive(Debug, Default, PartialEq, Eq, Args)]
pub(super) struct ViewArguments {
    /// Test-time augmentation: average class predictions over each image and its mirror image
    #[arg(long)]
    test_time_flip: bool,
    /// Test-time augmentation: average class predictions over each image and copies shifted by one
    /// pixel
    #[arg(long)]
    test_time_shift: bool,
}

impl ViewArguments {
    /// Returns the settings with these views added.
    pub(super) fn settings(&self, settings: &Settings) -> Settings {
        Settings {
            test_time_flip: self.test_time_flip || settings.test_time_flip,
            test_time_shift: self.test_time_shift || settings.test_time_shift,
            ..settings.clone()
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct ClassifyArguments {
    /// Model file, run folder or task folder of a classification task
    #[arg(long, value_name = "MODEL")]
    pub(super) model: PathBuf,
    /// PNG, JPEG or WebP images of the size that the model takes (clothing: light on black)
    #[arg(required = true)]
    pub(super) images: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) views: ViewArguments,
    /// Device: auto, or one listed by `zor devices`, such as flex, wgpu, cuda or cuda:1
    #[arg(long, default_value = "auto")]
    pub(super) device: String,
    /// Print the results as one JSON object in the last line of standard output
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ColorizeArguments {
    /// Model file, run folder or task folder of a colorization task
    #[arg(long, value_name = "MODEL")]
    pub(super) model: PathBuf,
    /// PNG, JPEG or WebP images; only the luminance of colour images is used
    #[arg(required = true)]
    pub(super) images: Vec<PathBuf>,
    /// Output folder; each image is written there as PNG under its own name
    #[arg(long, value_name = "DIR", default_value = "colorized")]
    pub(super) out: PathBuf,
    /// Device: auto, or one listed by `zor devices`, such as flex, wgpu, cuda or cuda:1
    #[arg(long, default_value = "auto")]
    pub(super) device: String,
}

#[derive(Debug, Args)]
pub(super) struct PredictArguments {
    /// Model file, run folder or task folder of the task table
    #[arg(long, value_name = "MODEL")]
    pub(super) model: PathBuf,
    /// .csv file with the columns that the model reads, in any order, or '-' for standard input
    pub(super) table: PathBuf,
    /// Output .csv file: the table with a column of predictions [default: standard output]
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    pub(super) out: Option<PathBuf>,
    /// Device: auto, or one listed by `zor devices`, such as flex, wgpu, cuda or cuda:1
    #[arg(long, default_value = "auto")]
    pub(super) device: String,
    /// Print the results as one JSON object in the last line of standard output
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct TranslateArguments {
    /// Model file, run folder or task folder of the task translation
    #[arg(long, value_name = "MODEL")]
    pub(super) model: PathBuf,
    /// Language to translate into, one of the two of the model
    #[arg(long, value_name = "LANGUAGE")]
    pub(super) to: String,
    /// Text file in UTF-8 with a sentence in each line, or '-' for standard input
    #[arg(default_value = "-")]
    pub(super) file: PathBuf,
    /// Number of hypotheses that are kept of each sentence
    #[arg(long, value_name = "N", default_value = "4")]
    pub(super) beam: usize,
    /// Print the N best translations of each line, after the number of the line and the score
    #[arg(long, value_name = "N", default_value = "1")]
    pub(super) n_best: usize,
    /// Print the score before each translation: the mean logarithm of the probability of a token
    #[arg(long)]
    pub(super) scores: bool,
    /// Terms that must be translated as given: a table with a term, a tab and its translation in
    /// each line
    #[arg(long, value_name = "FILE")]
    pub(super) glossary: Option<PathBuf>,
    /// Let translations lack numbers and addresses of their lines
    #[arg(long)]
    pub(super) free_numbers: bool,
    /// Choose translations by their own probability alone, not also by that of the line as a
    /// translation back
    #[arg(long)]
    pub(super) one_way: bool,
    /// Device: auto, or one listed by `zor devices`, such as flex, wgpu, cuda or cuda:1
    #[arg(long, default_value = "auto")]
    pub(super) device: String,
    /// Number of CPU threads [default: all cores]
    #[arg(long, value_name = "N")]
    pub(super) threads: Option<usize>,
}

#[derive(Debug, Args)]
pub(super) struct ScoreArguments {
    /// Text file in UTF-8 with a translation in each line; a line may be empty
    pub(super) hypotheses: PathBuf,
    /// Text file in UTF-8 with the reference translation of each line
    pub(super) references: PathBuf,
    /// Print the results as one JSON object in the last line of standard output
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ConvertArguments {
    /// .zor or .safetensors file; of a checkpoint, only the model is converted
    pub(super) from: PathBuf,
    /// File to write; a .safetensors file is accompanied by a file with its digest
    pub(super) to: PathBuf,
    /// Data type of the weights in a .zor file: f32, f16, bf16 or int8
    #[arg(long, default_value = "f32", value_parser = dtype)]
    pub(super) dtype: DType,
    /// Use this model's architecture for a .safetensors file without Zor's metadata
    #[arg(long, value_name = "MODEL")]
    pub(super) like: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct ExportArguments {
    /// Model file, run folder or task folder
    pub(super) model: PathBuf,
    /// Format: edge
    #[arg(long, default_value = "edge")]
    pub(super) format: ExportFormat,
    /// Quantize weights and activations to int8, for a quarter of the memory
    #[arg(long)]
    pub(super) int8: bool,
    /// Largest share of normal rows that may raise an alarm on the device, for a detector, above 0
    /// and below 1 [default: 0.05]
    #[arg(long, value_name = "SHARE")]
    pub(super) false_alarm_rate: Option<f32>,
    /// File to write [default: the model's name, ending in .zore]
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    /// Folder with the named data sets; the data set of the task is used to calibrate int8 scales
    /// and to compare the exported program with the model
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// Use your own data for that: a folder of images, a .npy array of bytes, or a .csv file for
    /// the tasks table and detection
    #[arg(long, value_name = "PATH", conflicts_with = "data_dir")]
    pub(super) data: Option<PathBuf>,
    /// Print the results as one JSON object in the last line of standard output
    #[arg(long)]
    pub(super) json: bool,
}

/// Export format.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum ExportFormat {
    /// .zore program for zor-edge
    Edge,
}

/// Parses an integer that TOML can hold.
fn whole(text: &str) -> std::result::Result<u64, String> {
    match text.parse::<u64>() {
        Ok(n) if i64::try_from(n).is_ok() => Ok(n),
        Ok(_) => Err(format!("it must be at most {}", i64::MAX)),
        Err(_) => Err("it is not a whole number".to_owned()),
    }
}

fn whole_size(text: &str) -> std::result::Result<usize, String> {
    let n = whole(text)?;
    usize::try_from(n).map_err(|_| format!("it must be at most {}", usize::MAX))
}

fn at_least_one(text: &str) -> std::result::Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("it must be at least 1".to_owned()),
        Ok(n) => Ok(n),
        Err(_) => Err("it is not a number of checkpoints".to_owned()),
    }
}

fn dtype(name: &str) -> std::result::Result<DType, String> {
    let known = DType::ALL.map(DType::name);
    let found = DType::ALL.into_iter().find(|dtype| dtype.name() == name);
    found.ok_or_else(|| format!("choose from {}", known.join(", ")))
}

#[derive(Debug, Subcommand)]
pub(super) enum DataCommand {
    /// Show the location of each data set
    List {
        /// Folder to look in
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
    },
    /// Download a data set, verify it, and keep it in the cache
    Fetch {
        /// Data set, such as fashion-mnist or cifar-10, or corpus, such as en-pcm
        name: String,
        /// Folder to download to [default: the user's cache]
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
    },
    /// Print the location of a data set
    Path {
        /// Data set: fashion-mnist or cifar-10
        name: String,
        /// Folder to look in
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
    },
}
