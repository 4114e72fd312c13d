//! The command line.

use std::path::PathBuf;

use std::ffi::OsStr;

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

/// Networks of analog-spike gates that learn by a local correlation rule.
#[derive(Debug, Parser)]
#[command(name = "zor", version, about, arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Train a task's network, evaluate it, and write it to a folder
    Train(Box<TrainArguments>),
    /// List the tasks, or show the networks and settings of one
    Tasks {
        /// The task [default: all]
        #[arg(value_parser = TaskParser)]
        name: Option<String>,
    },
    /// Evaluate a saved model on its task's data, or on your own
    Eval(EvalArguments),
    /// Reconstruct your own images with a saved model
    Reconstruct(ReconstructArguments),
    /// Classify your own images: all classes with their scores, the likeliest first
    Classify(ClassifyArguments),
    /// Give colour to your own pictures, of any size
    Colorize(ColorizeArguments),
    /// Predict a column of your own table with a saved model
    Predict(PredictArguments),
    /// Describe a model, a checkpoint, a .safetensors file or a .zore program
    Info {
        /// The file, or a run's or task's folder
        file: PathBuf,
    },
    /// Check that a file is undamaged and its values are finite
    Verify {
        /// A model, a checkpoint, a .safetensors file or a .zore program, or a run's or task's
        /// folder
        file: PathBuf,
    },
    /// Write a model in another format: .zor, .safetensors or .npz, by the names' endings
    Convert(ConvertArguments),
    /// Write a model as a .zore program, which zor-edge runs on small devices and in browsers
    Export(ExportArguments),
    /// Find or fetch data sets
    #[command(subcommand)]
    Data(DataCommand),
    /// List the devices that a network can run on, and what is missing for others
    Devices(DevicesArguments),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub(super) struct DevicesArguments {
    /// Only this device, such as cuda or cuda:1 [default: all]
    #[arg(long, value_name = "NAME")]
    pub(super) device: Option<String>,
    /// Compare the results of each device with the CPU's
    #[arg(long)]
    pub(super) verify: bool,
    /// Time matrix products and training steps on each device
    #[arg(long)]
    pub(super) time: bool,
    /// Time only steps of a network with these sizes, such as 784-64-784
    #[arg(long, value_name = "SIZES", requires = "time", requires = "batch")]
    pub(super) network: Option<Sizes>,
    /// Rows of the batch that --network learns from
    #[arg(long, value_name = "N", requires = "network", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) batch: Option<u32>,
    /// How exactly GPUs multiply matrices: f32, tf32 or bf16
    #[arg(long, default_value = "f32", requires = "time")]
    pub(super) precision: Precision,
}

/// Inputs, hidden units and outputs of a network.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes(pub(super) [usize; 3]);

impl std::str::FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || format!("'{text}' is not three sizes above 0, such as 784-64-784");
        let sizes: Vec<usize> = text
            .split('-')
            .map(|size| size.parse().ok().filter(|size| *size > 0).ok_or_else(wrong))
            .collect::<std::result::Result<_, _>>()?;
        sizes.try_into().map(Sizes).map_err(|_| wrong())
    }
}

/// Flags for settings: each is the key of its name in a file of settings.
#[derive(Debug, Args, Serialize)]
struct SettingFlags {
    /// The network; `zor tasks TASK` lists those of a task
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// The rule: default, classic or backprop
    #[arg(long)]
    rule: Option<RuleName>,
    /// Training steps
    #[arg(long, value_name = "N", value_parser = whole)]
    steps: Option<u64>,
    /// Examples in a batch
    #[arg(long, value_name = "N", value_parser = whole_size)]
    batch: Option<usize>,
    /// The highest learning rate
    #[arg(long, value_name = "RATE")]
    learning_rate: Option<f32>,
    /// The course of the learning rate: constant, cosine or linear
    #[arg(long)]
    schedule: Option<ScheduleName>,
    /// The optimizer: muon, adamw, adam or sgd
    #[arg(long)]
    optimizer: Option<OptimizerName>,
    /// The way that classes of different sizes count alike: none, weights or sampling
    /// [default: none]
    #[arg(long, value_name = "WAY")]
    class_balance: Option<ClassBalance>,
    /// Units of a hidden layer
    #[arg(long, value_name = "N", value_parser = whole_size)]
    hidden: Option<usize>,
    /// Share of hidden outputs that are not zero, such as 0.1, for small devices (`zor export`); 1
    /// leaves gates alone
    #[arg(long, value_name = "SHARE")]
    target_spike_rate: Option<f32>,
    /// Training examples: a number or 'all'
    #[arg(long, value_name = "N|all", conflicts_with = "samples_per_class")]
    train_samples: Option<Count>,
    /// Training examples of each class
    #[arg(long, value_name = "N", value_parser = whole_size)]
    samples_per_class: Option<usize>,
    /// The training examples that are taken: first, or random by the seed
    #[arg(long, value_name = "first|random")]
    samples: Option<Selection>,
    /// Evaluate on N training examples, of each class its share, instead of the test set, and do
    /// not learn from them
    #[arg(long, value_name = "N", value_parser = whole_size)]
    hold_out: Option<usize>,
    /// Seed of weights, batches and random selection
    #[arg(long, value_name = "N", value_parser = whole)]
    seed: Option<u64>,
    /// CPU threads [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// The device: auto, or one that `zor devices` lists, such as flex, wgpu, cuda or cuda:1
    #[arg(long)]
    device: Option<String>,
    /// Precision of matrix products on a GPU: f32, tf32 or bf16 [default: f32]
    #[arg(long)]
    precision: Option<Precision>,
    /// The folder of named data sets
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Your own data: a folder of PNG, JPEG or WebP files of one size, a .npy file of bytes, or for
    /// tables a .csv file
    #[arg(long, value_name = "PATH", conflicts_with = "data_dir")]
    data: Option<PathBuf>,
    /// Scale your pictures to this size, such as 32x32; kept in the model
    #[arg(long, value_name = "SIZE")]
    resize: Option<Size>,
    /// Cut the centre of this size out of your pictures, after they are scaled; kept in the model
    #[arg(long, value_name = "SIZE")]
    crop: Option<Size>,
    /// The column of a table that is predicted
    #[arg(long, value_name = "COLUMN")]
    target: Option<String>,
    /// A column of a table that is left out; may be given several times
    #[arg(long, value_name = "COLUMN")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignore: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct TrainArguments {
    /// The task
    #[arg(value_parser = TaskParser)]
    task: Option<String>,
    /// A TOML file of settings; flags win over it
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    flags: SettingFlags,
    /// Change images at random while learning
    #[arg(long, conflicts_with = "no_augment")]
    augment: bool,
    /// Learn from the images without changes
    #[arg(long)]
    no_augment: bool,
    #[command(flatten)]
    views: ViewArguments,
    /// Skip damaged pictures among your own
    #[arg(long)]
    skip_damaged: bool,
    /// Train with backpropagation for comparison
    #[arg(long, conflicts_with = "no_baseline")]
    baseline: bool,
    /// Do not train with backpropagation
    #[arg(long)]
    no_baseline: bool,
    /// Any setting of `zor tasks TASK`, such as schedule=cosine or augmentation.shift=2; its own
    /// flag wins over it
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The folder for the model, pictures and figures, which must not have a run
    /// [default: a new one, runs/TASK/DATE-NUMBER]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Replace the run in the folder of --out; with --resume, checkpoints after the one to continue
    /// from
    #[arg(long)]
    pub(super) overwrite: bool,
    /// Save a checkpoint every N steps, from which --resume continues
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) checkpoint_every: Option<u64>,
    /// Number of checkpoints that stay: the last N, and the best
    #[arg(long, value_name = "N", default_value = "3", requires = "checkpoint_every",
          value_parser = at_least_one)]
    pub(super) keep: usize,
    /// Continue from a checkpoint, a run's folder or a task's folder, with its settings; --steps
    /// makes the training longer
    #[arg(long, value_name = "PATH", conflicts_with_all = [
        "task", "config", "network", "rule", "batch", "learning_rate", "schedule", "optimizer", "hidden", "target_spike_rate", "train_samples",
        "samples_per_class", "samples", "augment", "no_augment", "seed", "target", "ignore", "set",
    ])]
    pub(super) resume: Option<PathBuf>,
    /// Start with the weights of a model or checkpoint, and with its settings where no others are
    /// given
    #[arg(long, value_name = "MODEL", conflicts_with_all = ["network", "rule", "hidden", "resume"])]
    pub(super) from: Option<PathBuf>,
    /// Print one JSON object as the last line of standard output
    #[arg(long)]
    pub(super) json: bool,
}

impl TrainArguments {
    /// The flags as settings; those with a name of their own win over `--set`.
    ///
    /// # Errors
    /// When `--set` names no setting, a value has no form in TOML, or the current folder, which
    /// paths start at, cannot be found.
    pub(super) fn options(&self) -> Result<Options> {
        for (flag, path) in [("--data", &self.flags.data), ("--data-dir", &self.flags.data_dir)] {
            check_path(flag, path.as_deref())?;
        }
        let mut flags = toml::Table::try_from(&self.flags).map_err(|error| {
            Error::input(format!("a flag has a value that settings cannot hold: {error}"))
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

/// Settings from `KEY=VALUE`, the key with dots as in TOML. A value that is no TOML is text.
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
            .map_err(|_| wrong(format!("'{key}' is no key")))?;
        let given = Options::from_table(parsed).map_err(|error| wrong(error.to_string()))?;
        options = given.or(options);
    }
    Ok(options)
}

/// Names of tasks.
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

/// The command line with the tasks of this program. Where the arguments name a task, the help of
/// `train` has its settings.
fn command() -> clap::Command {
    let words = std::env::args_os().skip(1);
    let named = words.into_iter().find_map(|word| tasks::named(word.to_str()?).ok());
    Arguments::command().mut_subcommand("train", |train| match named {
        Some(task) => {
            let settings = super::tasks::description(task).unwrap_or_default();
            train.after_help(settings)
        }
        None => train.after_help("`zor train TASK --help` shows the settings of a task."),
    })
}

/// The arguments of the program. Ends the program where they are wrong, or ask for help.
pub(super) fn parse() -> Command {
    let mut matches = command().get_matches();
    match Arguments::from_arg_matches_mut(&mut matches) {
        Ok(arguments) => arguments.command,
        Err(error) => error.format(&mut command()).exit(),
    }
}

/// A completion script.
pub(super) fn completions(shell: clap_complete::Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "zor", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[derive(Debug, Args)]
pub(super) struct EvalArguments {
    /// The model: a file, a run's folder or a task's folder
    #[arg(long, value_name = "MODEL")]
    pub(super) model: PathBuf,
    /// The folder of named data sets
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// Your own data, all of them: a folder of images, a .npy file of bytes, or for tables a .csv
    /// file
    #[arg(long, value_name = "PATH", conflicts_with = "data_dir")]
    pub(super) data: Option<PathBuf>,
    #[command(flatten)]
    pub(super) views: ViewArguments,
    /// The device: auto, or one that `zor devices` lists, such as flex, wgpu, cuda or cuda:1
    #[arg(long, default_value = "auto")]
    pub(super) device: String,
    /// Threads of the CPU [default: all cores]
    #[arg(long, value_name = "N")]
    pub(super) threads: Option<usize>,
    /// Print one JSON object as the last line of standard output
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ReconstructArguments {
    /// The model: a file, a run's folder or a task's folder
    #[arg(long, value_name = "MODEL")]
    pub(super) model: PathBuf,
    /// PNG, JPEG or WebP images of the model's size (clothing: light on black)
    #[arg(required = true)]
    pub(super) images: Vec<PathBuf>,
    /// The picture to write: inputs above, reconstructions below
    #[arg(long, value_name = "FILE", default_value = "reconstructions.png")]
    pub(super) out: PathBuf,
    /// The device: auto, or one that `zor devices` lists, such as flex, wgpu, cuda or cuda:1
    #[arg(long, default_value = "auto")]
    pub(super) device: String,
}

/// Views of an image that predictions are averaged over.
#[derive(Debug, Default, PartialEq, Eq, Args)]
pub(super) struct ViewArguments {
    /// Average predictions of classes over each image and its mirror image
    #[arg(long)]
    test_time_flip: bool,
    /// Average predictions of classes over each image and its copies moved by a pixel
    #[arg(long)]
    test_time_shift: bool,
}

impl ViewArguments {
    /// The settings with these views beside their own.
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
    /// The model: a file, a run's folder or a task's folder, of a task of classification
    #[arg(long, value_name = "MODEL")]
    pub(super) model: PathBuf,
    /// PNG, JPEG or WebP images of the model's size (clothing: light on black)
    #[arg(required = true)]
    pub(super) images: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) views: ViewArguments,
    /// The device: auto, or one that `zor devices` lists, such as flex, wgpu, cuda or cuda:1
    #[arg(long, default_value = "auto")]
    pub(super) device: String,
    /// Print one JSON object as the last line of standard output
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ColorizeArguments {
    /// The model: a file, a run's folder or a task's folder, of a task of colorization
    #[arg(long, value_name = "MODEL")]
    pub(super) model: PathBuf,
    /// PNG, JPEG or WebP pictures; of those in colour the luminance is taken
    #[arg(required = true)]
    pub(super) images: Vec<PathBuf>,
    /// The folder for the pictures in colour, as PNG under their own names
    #[arg(long, value_name = "DIR", default_value = "colorized")]
    pub(super) out: PathBuf,
    /// The device: auto, or one that `zor devices` lists, such as flex, wgpu, cuda or cuda:1
    #[arg(long, default_value = "auto")]
    pub(super) device: String,
}

#[derive(Debug, Args)]
pub(super) struct PredictArguments {
    /// The model: a file, a run's folder or a task's folder, of the task table
    #[arg(long, value_name = "MODEL")]
    pub(super) model: PathBuf,
    /// A .csv file with the columns that the model reads, in any order
    pub(super) table: PathBuf,
    /// The .csv file to write: the table with its predictions [default: standard output]
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    pub(super) out: Option<PathBuf>,
    /// The device: auto, or one that `zor devices` lists, such as flex, wgpu, cuda or cuda:1
    #[arg(long, default_value = "auto")]
    pub(super) device: String,
    /// Print one JSON object as the last line of standard output
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ConvertArguments {
    /// A .zor file (of a checkpoint the model), or a .safetensors file
    pub(super) from: PathBuf,
    /// The file to write; beside a .safetensors file its digest is written too
    pub(super) to: PathBuf,
    /// The type of weights in a .zor file: f32, f16, bf16 or int8
    #[arg(long, default_value = "f32", value_parser = dtype)]
    pub(super) dtype: DType,
    /// A model with the layers for a .safetensors file that says nothing of them
    #[arg(long, value_name = "MODEL")]
    pub(super) like: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct ExportArguments {
    /// The model: a file, a run's folder or a task's folder
    pub(super) model: PathBuf,
    /// The format: edge
    #[arg(long, default_value = "edge")]
    pub(super) format: ExportFormat,
    /// Weights and values of 8 bits, for a quarter of the memory
    #[arg(long)]
    pub(super) int8: bool,
    /// The file to write [default: the model's name, ending in .zore]
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    /// The folder of named data sets; the steps of 8 bits are chosen by the task's, and the program
    /// is compared with the model on it
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// Your own data for that: a folder of images, or a .npy file of bytes
    #[arg(long, value_name = "PATH", conflicts_with = "data_dir")]
    pub(super) data: Option<PathBuf>,
    /// Print one JSON object as the last line of standard output
    #[arg(long)]
    pub(super) json: bool,
}

/// A format of exports.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum ExportFormat {
    /// A .zore program for zor-edge
    Edge,
}

/// A number that settings can hold.
fn whole(text: &str) -> std::result::Result<u64, String> {
    match text.parse::<u64>() {
        Ok(n) if i64::try_from(n).is_ok() => Ok(n),
        Ok(_) => Err(format!("it must be at most {}", i64::MAX)),
        Err(_) => Err("it is no whole number".to_owned()),
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
    /// Show where each data set is found
    List {
        /// The folder to look in
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
    },
    /// Download a data set, check it, and keep it in the cache
    Fetch {
        /// The data set: fashion-mnist or cifar-10
        name: String,
        /// The folder to put it in [default: the user's cache]
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
    },
    /// Print the folder of a data set
    Path {
        /// The data set: fashion-mnist or cifar-10
        name: String,
        /// The folder to look in
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
    },
}
