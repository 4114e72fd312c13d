//! The training loop: batches in, a trained network at the end.

use std::collections::VecDeque;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use zor_core::burn::tensor::{Device, Tensor, TensorData};
use zor_core::{
    Deviation, GateConfig, Network, Optimizer, Place, Target, Unread, Workspace, ops, step,
};
use zor_data::{Batches, Dataset, ImageShape, Order, Prefetch};

use crate::confusion::Confusion;
use crate::early::Early;
use crate::error::{Error, ErrorKind, Result};
use crate::images::RunData;
use crate::options::{ModelName, Settings, TaskName};
use crate::views::Views;
use crate::{autodiff, memory, models, whitening};

/// How often a run is evaluated on its way, at most.
const EVALUATIONS: u64 = 10;
/// Images that it is evaluated on before its end, at most; more would take as long as the training.
const GLANCE: usize = 1000;
/// Batches that are prepared ahead.
pub(crate) const AHEAD: usize = 4;
/// Steps that a device may have in its queue.
const QUEUED: usize = 16;
/// Images evaluated at once.
const EVALUATION_BATCH: usize = 100;

/// One point of a run's curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Steps done.
    pub step: u64,
    /// Seconds of training until then, evaluations not counted.
    pub seconds: f64,
    /// How far the last training batch was off.
    pub training: Deviation,
    /// How well the evaluation images are done: all of them at the end of a run, the first 1,000 before it.
    pub evaluation: Score,
}

/// How well a network does on a set of images.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// How far its outputs, or in classification its probabilities, are off.
    pub deviation: Deviation,
    /// What images of each class were taken for, in classification.
    pub confusion: Option<Confusion>,
    /// Images in all.
    pub samples: usize,
}

impl Score {
    /// Share of images whose class was the likeliest; none but in classification.
    pub fn top1(&self) -> Option<f64> {
        let confusion = self.confusion.as_ref();
        confusion.map(|confusion| confusion.correct() as f64 / self.samples as f64)
    }

    /// The figure that people look at first: top-1 in percent, or PSNR in dB.
    pub fn headline(&self) -> f64 {
        self.top1().map_or_else(|| self.deviation.psnr_db(), |share| 100.0 * share)
    }

    /// Figures by name: `top1` of a classification, else `psnr_db` and `mae`. A figure that is infinite or undefined is null.
    pub fn figures(&self) -> serde_json::Map<String, serde_json::Value> {
        let figures = match self.top1() {
            Some(top1) => vec![("top1", top1)],
            None => vec![("psnr_db", self.deviation.psnr_db()), ("mae", self.deviation.mae())],
        };
        figures.into_iter().map(|(name, figure)| (name.to_owned(), figure.into())).collect()
    }

    /// The unit of the headline.
    pub fn unit(&self) -> &'static str {
        if self.confusion.is_some() { "%" } else { "dB" }
    }
}

/// Whether a run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// On to the next step.
    Continue,
    /// Stop after this step.
    Stop,
}

/// A training as far as it is.
#[derive(Debug)]
pub struct Training {
    /// The network.
    pub network: Network,
    /// Its curve; at the end of a run the last point is the end.
    pub curve: Vec<Point>,
    /// Steps done.
    pub steps: u64,
    /// Images seen, repetitions counted.
    pub samples_seen: u64,
    /// Seconds of training, evaluations not counted.
    pub train_seconds: f64,
    /// Whether it was stopped before its last step.
    pub stopped: bool,
    /// How far the last batches were off, as far as that is not known yet.
    unread: VecDeque<Unread>,
}

impl Training {
    /// Before the first step of a task.
    ///
    /// # Errors
    /// When the settings do not make a network.
    pub fn start(settings: &Settings, data: &RunData, device: &Device) -> Result<Self> {
        let (shape, classes) = (data.train.shape(), data.train.n_classes());
        let mut network = build_network(settings, shape, classes, device)?;
        whitening::whiten(&mut network, &data.train)?;
        Ok(Self::at(network, Vec::new(), 0, 0, 0.0))
    }

    /// As far as it was when it was saved.
    pub(crate) fn at(
        network: Network,
        curve: Vec<Point>,
        steps: u64,
        samples_seen: u64,
        train_seconds: f64,
    ) -> Self {
        let (stopped, unread) = (false, VecDeque::new());
        Self { network, curve, steps, samples_seen, train_seconds, stopped, unread }
    }

    /// Waits for the device: afterwards the network's history has every step.
    ///
    /// # Errors
    /// When a batch's error was not finite, or the device is lost.
    pub fn settle(&mut self) -> Result<()> {
        self.settle_to(0).map(|_| ())
    }

    /// The same for all but the last so many steps. Answers how far the last one that is known was off.
    fn settle_to(&mut self, queued: usize) -> Result<Deviation> {
        let mut last = Deviation::default();
        while self.unread.len() > queued
            && let Some(unread) = self.unread.pop_front()
        {
            last = unread.read()?;
            self.network.record(&last);
        }
        Ok(last)
    }

    /// How well the evaluation images were done when last looked at.
    pub fn evaluation(&self) -> Score {
        self.curve.last().map_or_else(Score::default, |point| point.evaluation.clone())
    }

    /// Trains to the last step, or until told to stop. `tell` hears of every step; a device with a queue may still be at it.
    ///
    /// # Errors
    /// When shapes or values make training impossible, or the device is lost.
    pub fn go_on(
        mut self,
        settings: &Settings,
        data: &RunData,
        teacher: Teacher,
        tell: &mut dyn FnMut(&mut Self) -> Next,
    ) -> Result<Self> {
        let device = self.network.device().clone();
        let optimizer = settings.build_optimizer();
        let mut prefetch = Prefetch::spawn(batches(settings, data)?, self.steps, AHEAD);
        let every = (settings.steps / EVALUATIONS).max(1);
        let glance = data.evaluation.first(GLANCE.min(data.evaluation.len()))?;
        let mut early = Early::new(settings, data.train.shape(), &self.network);
        self.stopped = false;
        while self.steps < settings.steps && !self.stopped {
            let start = Instant::now();
            whitening::settle(&mut self.network, self.steps, settings.steps);
            let batch = prefetch.next();
            self.samples_seen += batch.rows as u64;
            if !Early::lasts(self.steps, settings.steps) {
                early = None;
            }
            let images = match &early {
                Some(early) => matrix(&early.crop(&batch.inputs), batch.rows, &device)?,
                None => matrix(&batch.inputs, batch.rows, &device)?,
            };
            let target = target(settings, &batch.labels, &images);
            let input = settings.task.question(images);
            prefetch.recycle(batch);
            let learn = |network: &mut Network| {
                teacher.train_batch_unread(network, optimizer.as_ref(), input, target)
            };
            let unread = match &mut early {
                Some(early) => early.lend(&mut self.network, learn)?,
                None => learn(&mut self.network)?,
            };
            self.unread.push_back(unread);
            self.steps += 1;
            let (step, last) = (self.steps, self.steps == settings.steps);
            // Early steps change most: they are looked at too, ever more rarely.
            let evaluated = step.is_power_of_two() || step % every == 0 || last;
            let on_the_way = if evaluated || !ops::runs_ahead(&device) { 0 } else { QUEUED };
            let training = self.settle_to(on_the_way)?;
            self.train_seconds += start.elapsed().as_secs_f64();
            if evaluated {
                let set = if last { &data.evaluation } else { &glance };
                let evaluation =
                    evaluate(&self.network, settings.task, set, &device, settings.views())?;
                self.curve.push(Point { step, seconds: self.train_seconds, training, evaluation });
            }
            self.stopped = tell(&mut self) == Next::Stop && !last;
        }
        self.settle()?;
        Ok(self)
    }
}

/// What a network shall say of images.
pub(crate) fn target(settings: &Settings, labels: &[u8], images: &Tensor<2>) -> Target {
    if settings.task.is_classification() {
        let (classes, smoothing) = (classes(labels), settings.label_smoothing);
        Target::SmoothedClasses { classes, smoothing }
    } else {
        Target::Values(images.clone())
    }
}

/// Builds the network of a task for images of a shape.
///
/// # Errors
/// When the settings do not make a network.
pub fn build_network(
    settings: &Settings,
    shape: ImageShape,
    n_classes: usize,
    device: &Device,
) -> Result<Network> {
    let image = [shape.height, shape.width, shape.channels];
    let network = match (settings.task, settings.model) {
        (TaskName::CifarColorization, _) => models::colorizer(shape.height, shape.width),
        (TaskName::CifarReconstruction, ModelName::Conv) => {
            models::conv_autoencoder(&image, settings.hidden)
        }
        (TaskName::FashionReconstruction | TaskName::CifarReconstruction, _) => {
            let output = GateConfig {
                activation: settings.output_activation.clone(),
                ..GateConfig::at(Place::Output)
            };
            models::dense(&image, &[settings.hidden], shape.len()).layer(output)
        }
        (TaskName::CifarClassification, ModelName::Dense) => {
            models::dense_classifier(&image, &[settings.hidden; 2], n_classes)
        }
        (TaskName::CifarClassification, ModelName::Conv) => {
            models::airbench_of(&image, [32, 128, 128], n_classes)
        }
        (_, ModelName::Airbench) => models::airbench(&image, n_classes),
        (TaskName::FashionClassification, ModelName::Dense)
            if settings.rule.target_spike_rate.is_some() =>
        {
            models::sparse_classifier(&image, &[settings.hidden; 2], n_classes)
        }
        (TaskName::FashionClassification, ModelName::Dense) => {
            models::dense(&image, &[settings.hidden; 2], n_classes)
        }
        (TaskName::FashionClassification, ModelName::Conv) => models::small_conv(&image, n_classes),
    };
    let network = network.rule(settings.rule.clone()).seed(settings.seed);
    let built = match memory::available() {
        Some(free) => memory::build_within(free, network, settings, device),
        None => Ok(network.build(device)?),
    };
    built.map_err(|error| {
        let (task, model) = (settings.task, settings.model);
        let place =
            format!("images of {}x{} for {task}, model '{model}'", shape.width, shape.height);
        error.at(place)
    })
}

/// The batches that the settings ask for, the same for everything that is trained on them.
///
/// # Errors
/// When the settings make no batches.
pub fn batches(settings: &Settings, data: &RunData) -> Result<Batches> {
    let whole = data.train.len() <= settings.batch && settings.augment.is_none();
    let order = if whole { Order::Full } else { Order::Shuffled };
    let augment = settings.augment.clone();
    Ok(Batches::new(data.train.clone(), settings.batch, order, augment, settings.seed)?)
}

/// What a network learns by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Teacher {
    /// Its rule.
    Rule,
    /// Gradients of burn's autodiff.
    Autodiff,
}

impl Teacher {
    /// One training step; how far the outputs were off before it. Waits for the device.
    ///
    /// # Errors
    /// When the batch does not fit the network, or its error is not finite.
    pub fn train_batch(
        self,
        network: &mut Network,
        optimizer: &dyn Optimizer,
        input: Tensor<2>,
        target: impl Into<Target>,
    ) -> Result<Deviation> {
        match self {
            Self::Rule => Ok(network.train_batch(optimizer, input, target)?),
            Self::Autodiff => autodiff::train_batch(network, optimizer, input, target),
        }
    }

    /// The same for the rule without waiting, and without counting the step; see [`Network::train_batch_unread`].
    fn train_batch_unread(
        self,
        network: &mut Network,
        optimizer: &dyn Optimizer,
        input: Tensor<2>,
        target: Target,
    ) -> Result<Unread> {
        match self {
            Self::Rule => Ok(network.train_batch_unread(optimizer, input, target)?),
            Self::Autodiff => Ok(autodiff::train_batch(network, optimizer, input, target)?.into()),
        }
    }
}

/// Trains a task's network from the start.
///
/// # Errors
/// When the settings do not make a network, or shapes or values make training impossible.
pub fn run(
    settings: &Settings,
    data: &RunData,
    device: &Device,
    teacher: Teacher,
    tell: &mut dyn FnMut(&mut Training) -> Next,
) -> Result<Training> {
    Training::start(settings, data, device)?.go_on(settings, data, teacher, tell)
}

/// How well a network does a task on a whole set, told from these views of each image.
///
/// # Errors
/// When the images do not fit the network.
pub fn evaluate(
    network: &Network,
    task: TaskName,
    data: &Dataset,
    device: &Device,
    views: Views,
) -> Result<Score> {
    check_finite(network)?;
    let mut workspace = Workspace::new(device);
    evaluate_answers(task, data, device, |question| views.answer(network, question, &mut workspace))
}

/// Refuses a network with weights that are infinite or NaN: gates would hide them, and its figures would mean nothing.
fn check_finite(network: &Network) -> Result<()> {
    match network.tensors().into_iter().find(|(.., tensor)| !ops::all_finite(&tensor.value())) {
        None => Ok(()),
        Some((name, ..)) => Err(Error::new(
            ErrorKind::Diverged,
            format!(
                "{name} of the network has values that are infinite or NaN; use a lower learning rate or weight decay"
            ),
        )),
    }
}

/// How good the answers to a task's questions about a whole set are, whoever gives them.
pub(crate) fn evaluate_answers(
    task: TaskName,
    data: &Dataset,
    device: &Device,
    mut answer: impl FnMut(Tensor<2>) -> Result<Tensor<2>>,
) -> Result<Score> {
    let mut score = Score { samples: data.len(), ..Score::default() };
    let mut confusion = task.is_classification().then(|| Confusion::new(data.n_classes()));
    let mut seen = 0;
    for images in evaluation_batches(data, device) {
        let images = images?;
        let rows = images.dims()[0];
        let labels = classes(&data.labels()[seen..seen + rows]);
        let question = task.question(images.clone());
        let output = answer(question)?;
        let target = match &mut confusion {
            Some(confusion) => {
                let answers = likeliest(output.clone())?;
                labels.iter().zip(answers).for_each(|(truth, found)| confusion.add(*truth, found));
                Target::Classes(labels)
            }
            None => Target::Values(images),
        };
        score.deviation += step::top_signal(target, output)?.1;
        seen += rows;
    }
    score.confusion = confusion;
    Ok(score)
}

/// The column of the largest output of every row.
fn likeliest(output: Tensor<2>) -> Result<Vec<usize>> {
    let columns = output.dims()[1];
    let values = ops::read(output)?;
    let largest = |row: &[f32]| (0..columns).max_by(|a, b| row[*a].total_cmp(&row[*b]));
    Ok(values.chunks_exact(columns).map(|row| largest(row).unwrap_or(0)).collect())
}

/// A set's images in order, as batches `[at most 100, pixels]`.
pub(crate) fn evaluation_batches<'a>(
    data: &'a Dataset,
    device: &'a Device,
) -> impl Iterator<Item = Result<Tensor<2>>> + 'a {
    (0..data.len()).step_by(EVALUATION_BATCH).map(|from| {
        let part = data.range(from..(from + EVALUATION_BATCH).min(data.len()))?;
        matrix(&part.pixels(), part.len(), device)
    })
}

/// Labels as the numbers of their classes.
pub fn classes(labels: &[u8]) -> Vec<usize> {
    labels.iter().map(|label| usize::from(*label)).collect()
}

/// Values as a matrix, row after row.
///
/// # Shapes
/// `rows * columns` values -> `[rows, columns]`.
///
/// # Errors
/// When the values are not `rows` rows of one length.
pub fn matrix(values: &[f32], rows: usize, device: &Device) -> Result<Tensor<2>> {
    if rows == 0 || !values.len().is_multiple_of(rows) {
        return Err(Error::input(format!(
            "{} values are not {rows} rows of one length",
            values.len()
        )));
    }
    let shape = [rows, values.len() / rows];
    Ok(Tensor::from_data(TensorData::new(values.to_vec(), shape), device))
}
