//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use zor::io::DType;
use zor::options::{
    Choice, Count, ModelName, OptimizerName, Options, Precision, RuleName, TaskName,
};
use zor::views::Views;
use zor::{Error, Result};

use crate::train::absolute;

/// Networks of analog-spike gates that learn by a local correlation rule.
#[derive(Debug, Parser)]
#[command(name = "zor", version, about, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train a task's network, show how well it does, and write it to a folder
    Train(Box<TrainArguments>),
    /// Evaluate a saved model on its task's images
    Eval(EvalArguments),
    /// Show what a saved model makes of your own images
    Reconstruct(ReconstructArguments),
    /// Tell what is in your own images: all classes with their scores, the likeliest first
    Classify(ClassifyArguments),
    /// Give colour to your own pictures, of any size
    Colorize(ColorizeArguments),
    /// Print what a model, a checkpoint, a .safetensors file or a .zore image says about itself
    Info {
        /// The file, or a run's or task's folder
        file: PathBuf,
    },
    /// Check that a file is undamaged and its values are finite
    Verify {
        /// A model, a checkpoint, a .safetensors file or a .zore image, or a run's or task's folder
        file: PathBuf,
    },
    /// Write a model in another format: .zor, .safetensors or .npz, by the names' endings
    Convert(ConvertArguments),
    /// Write a model as an image that zor-edge runs on small devices and in browsers
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
pub(crate) struct DevicesArguments {
    /// Only this device, such as cuda or cuda:1 [default: all]
    #[arg(long, value_name = "NAME")]
    pub(crate) device: Option<String>,
    /// Compare the results of each device with the CPU's
    #[arg(long)]
    pub(crate) verify: bool,
    /// Time matrix products and training steps on each device
    #[arg(long)]
    pub(crate) time: bool,
    /// Time only steps of a network with these sizes, such as 784-64-784
    #[arg(long, value_name = "SIZES", requires = "time", requires = "batch")]
    pub(crate) network: Option<Sizes>,
    /// Rows of the batch that --network learns from
    #[arg(long, value_name = "N", requires = "network", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) batch: Option<u32>,
    /// How exactly GPUs multiply matrices: f32, tf32 or bf16
    #[arg(long, default_value = "f32", requires = "time")]
    pub(crate) precision: Precision,
}

/// Inputs, hidden units and outputs of a network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes(pub(crate) [usize; 3]);

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

#[derive(Debug, Args)]
pub(crate) struct TrainArguments {
    /// The task: fashion-reconstruction, fashion-classification, cifar-reconstruction, cifar-colorization or cifar-classification
    pub(crate) task: Option<TaskName>,
    /// A TOML file of settings; flags win over it
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The network: dense (or mlp), conv or airbench
    #[arg(long)]
    model: Option<ModelName>,
    /// The rule: default, classic or backprop
    #[arg(long)]
    rule: Option<RuleName>,
    /// Training steps
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
    /// Images in a batch
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Highest learning rate
    #[arg(long, value_name = "RATE")]
    learning_rate: Option<f32>,
    /// The optimizer: muon, adamw, adam or sgd
    #[arg(long)]
    optimizer: Option<OptimizerName>,
    /// Share of the hidden values that shall fire, such as 0.1: what is silent costs nothing on small devices (`zor export`); 1 leaves gates alone
    #[arg(long, value_name = "SHARE")]
    target_spike_rate: Option<f32>,
    /// How many training images: a number or 'all'
    #[arg(long, value_name = "N|all", conflicts_with = "samples_per_class")]
    train_samples: Option<Count>,
    /// How many training images of each class
    #[arg(long, value_name = "N")]
    samples_per_class: Option<usize>,
    /// Which images those are: first, or random by the seed
    #[arg(long, value_name = "first|random")]
    samples: Option<Choice>,
    /// Change images at random while learning
    #[arg(long, conflicts_with = "no_augment")]
    augment: bool,
    /// Learn from the images as they are
    #[arg(long)]
    no_augment: bool,
    /// Evaluate on so many of the last training images instead of the test set, without learning from them
    #[arg(long, value_name = "N")]
    hold_out: Option<usize>,
    /// Tell classes from each image and its mirror image together
    #[arg(long)]
    test_time_flip: bool,
    /// Tell classes from each image and the same moved by a pixel together
    #[arg(long)]
    test_time_shift: bool,
    /// Train with backpropagation beside it: two small networks, or the same one in classification
    #[arg(long, conflicts_with = "no_baseline")]
    baseline: bool,
    /// Do not train a baseline
    #[arg(long)]
    no_baseline: bool,
    /// Seed of weights, batches and random choice
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Threads of the CPU [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// The device: auto, or one that `zor devices` lists, such as flex, wgpu, cuda or cuda:1
    #[arg(long)]
    device: Option<String>,
    /// How exactly a GPU multiplies matrices: f32, tf32 or bf16 [default: f32]
    #[arg(long)]
    precision: Option<Precision>,
    /// The folder that has the data set
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Your own images instead: a folder of PNG, JPEG or WebP files of one size, or a .npy file of bytes
    #[arg(long, value_name = "PATH", conflicts_with = "data_dir")]
    images: Option<PathBuf>,
    /// Any setting of a TOML file, such as schedule=cosine or augmentation.shift=2; its own flag wins over it
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The folder for the model, pictures and figures, which must not have a run [default: a new one, runs/TASK/DATE-NUMBER]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Replace the run in the folder of --out; with --resume, checkpoints after the one to continue from
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Save a checkpoint every N steps, from which --resume continues
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) checkpoint_every: Option<u64>,
    /// Number of checkpoints that stay: the last N, and the best
    #[arg(long, value_name = "N", default_value = "3", requires = "checkpoint_every",
          value_parser = at_least_one)]
    pub(crate) keep: usize,
    /// Continue from a checkpoint, a run's folder or a task's folder, with its settings; --steps makes the training longer
    #[arg(long, value_name = "PATH", conflicts_with_all = [
        "task", "config", "model", "rule", "batch", "learning_rate", "optimizer", "target_spike_rate", "train_samples", "samples_per_class", "samples",
        "augment", "no_augment", "seed", "set",
    ])]
    pub(crate) resume: Option<PathBuf>,
    /// Print one JSON object as the last line of standard output
    #[arg(long)]
    pub(crate) json: bool,
}

impl TrainArguments {
    /// The flags as options; those with a name of their own win over `--set`.
    ///
    /// # Errors
    /// When `--set` names no setting, or the current folder, which paths start at, cannot be found.
    pub(crate) fn options(&self) -> Result<Options> {
        let switch = |on: bool, off: bool| (on || off).then_some(on);
        let place = |path: &Option<PathBuf>| path.as_deref().map(absolute).transpose();
        let flags = Options {
            task: self.task,
            model: self.model,
            rule: self.rule,
            seed: self.seed,
            steps: self.steps,
            batch: self.batch,
            learning_rate: self.learning_rate,
            optimizer: self.optimizer,
            target_spike_rate: self.target_spike_rate,
            train_samples: self.train_samples,
            samples_per_class: self.samples_per_class,
            samples: self.samples,
            augment: switch(self.augment, self.no_augment),
            hold_out: self.hold_out,
            test_time_flip: self.test_time_flip.then_some(true),
            test_time_shift: self.test_time_shift.then_some(true),
            baseline: switch(self.baseline, self.no_baseline),
            threads: self.threads,
            device: self.device.clone(),
            precision: self.precision,
            data_dir: self.data_dir.clone(),
            images: self.images.clone(),
            ..Options::default()
        };
        let options = flags.or(settings(&self.set)?);
        let (data_dir, images) = (place(&options.data_dir)?, place(&options.images)?);
        Ok(Options { data_dir, images, ..options })
    }
}

/// Options from `KEY=VALUE`, the key with dots as in TOML. A value that is no TOML is text.
fn settings(pairs: &[String]) -> Result<Options> {
    let mut table = toml::Table::new();
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
        Options::from_table(parsed.clone()).map_err(|error| wrong(error.to_string()))?;
        merge(&mut table, parsed);
    }
    Options::from_table(table)
}

/// Adds the keys of a table to another; where both have one, the table that is added wins.
fn merge(table: &mut toml::Table, added: toml::Table) {
    for (key, value) in added {
        match (table.get_mut(&key), value) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(added)) => merge(inner, added),
            (_, value) => drop(table.insert(key, value)),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct EvalArguments {
    /// The model: a file, a run's folder or a task's folder
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: PathBuf,
    /// The folder that has the data set
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Your own images instead, all of them: a folder, or a .npy file of bytes
    #[arg(long, value_name = "PATH", conflicts_with = "data_dir")]
    pub(crate) images: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) views: ViewArguments,
    /// The device: auto, or one that `zor devices` lists, such as flex, wgpu, cuda or cuda:1
    #[arg(long, default_value = "auto")]
    pub(crate) device: String,
    /// Threads of the CPU [default: all cores]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Print one JSON object as the last line of standard output
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReconstructArguments {
    /// The model: a file, a run's folder or a task's folder
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: PathBuf,
    /// PNG, JPEG or WebP images of the model's size (clothing: light on black)
    #[arg(required = true)]
    pub(crate) images: Vec<PathBuf>,
    /// The picture to write: inputs above, reconstructions below
    #[arg(long, value_name = "FILE", default_value = "reconstructions.png")]
    pub(crate) out: PathBuf,
    /// The device: auto, or one that `zor devices` lists, such as flex, wgpu, cuda or cuda:1
    #[arg(long, default_value = "auto")]
    pub(crate) device: String,
}

/// The views of an image that its class is predicted from.
#[derive(Debug, Default, PartialEq, Eq, Args)]
pub(crate) struct ViewArguments {
    /// Tell classes from each image and its mirror image together
    #[arg(long)]
    test_time_flip: bool,
    /// Tell classes from each image and the same moved by a pixel together
    #[arg(long)]
    test_time_shift: bool,
}

impl ViewArguments {
    pub(crate) fn views(&self) -> Views {
        Views { flip: self.test_time_flip, shift: self.test_time_shift }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ClassifyArguments {
    /// The model: a file, a run's folder or a task's folder, of a task that tells classes
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: PathBuf,
    /// PNG, JPEG or WebP images of the model's size (clothing: light on black)
    #[arg(required = true)]
    pub(crate) images: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) views: ViewArguments,
    /// The device: auto, or one that `zor devices` lists, such as flex, wgpu, cuda or cuda:1
    #[arg(long, default_value = "auto")]
    pub(crate) device: String,
    /// Print one JSON object as the last line of standard output
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ColorizeArguments {
    /// The model: a file, a run's folder or a task's folder, of the task cifar-colorization
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: PathBuf,
    /// PNG, JPEG or WebP pictures; of those in colour the luminance is taken
    #[arg(required = true)]
    pub(crate) images: Vec<PathBuf>,
    /// The folder for the pictures in colour, as PNG under their own names
    #[arg(long, value_name = "DIR", default_value = "colorized")]
    pub(crate) out: PathBuf,
    /// The device: auto, or one that `zor devices` lists, such as flex, wgpu, cuda or cuda:1
    #[arg(long, default_value = "auto")]
    pub(crate) device: String,
}

#[derive(Debug, Args)]
pub(crate) struct ConvertArguments {
    /// A .zor file (of a checkpoint the model), or a .safetensors file
    pub(crate) from: PathBuf,
    /// The file to write; beside a .safetensors file its digest is written too
    pub(crate) to: PathBuf,
    /// The type of weights in a .zor file: f32, f16, bf16 or int8
    #[arg(long, default_value = "f32", value_parser = dtype)]
    pub(crate) dtype: DType,
    /// A model with the layers for a .safetensors file that says nothing of them
    #[arg(long, value_name = "MODEL")]
    pub(crate) like: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// The model: a file, a run's folder or a task's folder
    pub(crate) model: PathBuf,
    /// The format: edge
    #[arg(long, default_value = "edge")]
    pub(crate) format: ExportFormat,
    /// Weights and values of 8 bits, for a quarter of the memory
    #[arg(long)]
    pub(crate) int8: bool,
    /// The file to write [default: the model's name, ending in .zore]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// The folder that has the data set, from which the steps of 8 bits are chosen and the image is compared with the model
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Your own images for that: a folder, or a .npy file of bytes
    #[arg(long, value_name = "PATH", conflicts_with = "data_dir")]
    pub(crate) images: Option<PathBuf>,
    /// Print one JSON object as the last line of standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a model can be exported as.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum ExportFormat {
    /// A .zore image for zor-edge
    Edge,
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
pub(crate) enum DataCommand {
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
