//! `zor export`: a model as an image for small devices, beside what it loses by that.

use std::fmt::Write as _;

use serde_json::json;
use zor::data::Locations;
use zor::edge::{self, DType};
use zor::images::{self, Images};
use zor::options::{Choice, Options, Settings, TaskName};
use zor::views::Views;
use zor::{Error, Result, io, train};

use crate::arguments::{ExportArguments, ExportFormat};
use crate::report;

pub(crate) fn run(arguments: &ExportArguments) -> Result<()> {
    let ExportFormat::Edge = arguments.format;
    let device = zor::device("auto")?;
    let (network, header) = io::load(&arguments.model, &device)?;
    let place = arguments.model.display();
    let name = header.notes.get("task").map_or("", String::as_str);
    let task: TaskName = name.parse().map_err(|_| {
        Error::input(format!(
            "{place}: it was trained for the task '{name}', of which there are no images; make the image with zor::io::edge::export and samples of your own"
        ))
    })?;
    let all = match &arguments.images {
        Some(path) => Images::own(path)?,
        None => {
            let locations = Locations::from_environment(arguments.data_dir.clone());
            Images::load(task.data_set(), &locations)?
        }
    };
    // Training images that evaluation leaves alone, and those that the task is evaluated on.
    let samples = zor::options::Count::All;
    let options = Options {
        task: Some(task),
        train_samples: Some(samples),
        samples: Some(Choice::First),
        ..Options::default()
    };
    let data = images::choose(&all, &Settings::resolve(&options)?)?;
    let dtype = if arguments.int8 { DType::Int8 } else { DType::F32 };
    let image = edge::export(&network, task, &data.train, dtype, &device)?;
    let out = arguments.out.clone().unwrap_or_else(|| arguments.model.with_extension("zore"));
    image.save(&out)?;

    let model = train::evaluate(&network, task, &data.evaluation, &device, Views::default())?;
    let measured = edge::evaluate(&image, task, &data.evaluation, &device)?;
    let small = image.network()?;
    let unit = model.unit();
    let type_name = if arguments.int8 { "int8" } else { "f32" };
    let mut text = format!(
        "{:<16}{:>10.2} {unit}\n{:<16}{:>10.2} {unit}   on {} images: {}\n\n{:<8}{:>16}{:>12}{:>14}{:>14}\n",
        "model",
        model.headline(),
        format!("image, {type_name}"),
        measured.score.headline(),
        data.evaluation.len(),
        data.evaluation_name,
        "layer",
        "output",
        "gate",
        "input active",
        "output active",
    );
    for (index, (layer, shape)) in measured.layers.iter().zip(small.layers()).enumerate() {
        let output = shape.geometry.output().map(|size| size.to_string()).join("x");
        let gate = shape.threshold.map_or("".to_owned(), |threshold| format!("> {threshold:.3}"));
        let (inputs, outputs) = (100.0 * layer.inputs, 100.0 * layer.outputs);
        let _ = writeln!(text, "{index:<8}{output:>16}{gate:>12}{inputs:>12.1} %{outputs:>12.1} %");
    }
    let (bytes, scratch) = (image.bytes().len(), small.scratch_len());
    let _ = write!(
        text,
        "\n{}: {bytes} bytes; it runs in scratch memory of {scratch} numbers ({} bytes) and a few kilobytes of stack",
        out.display(),
        4 * scratch
    );
    if !arguments.json {
        say!("{text}");
        return Ok(());
    }
    eprintln!("{text}");
    let gates = measured.layers.iter().filter(|layer| layer.has_gate);
    let mut object = json!({
        "task": task,
        "format": "edge",
        "dtype": type_name,
        "file": out,
        "bytes": bytes,
        "scratch_bytes": 4 * scratch,
        "eval_samples": data.evaluation.len(),
        "spike_rates": gates.map(|layer| layer.outputs).collect::<Vec<_>>(),
        "model_metrics": report::metrics(&model),
    });
    report::add(&mut object, report::metrics(&measured.score));
    say!("{object}");
    Ok(())
}
