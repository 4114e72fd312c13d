//! `zor export`: a model as an image for small devices, beside what it loses by that.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::json;
use zor::data::Locations;
use zor::edge::{self, DType};
use zor::images::{self, Images};
use zor::options::{Options, Settings};
use zor::views::Views;
use zor::{Error, Result, checkpoint, io, run, shown, train};

use crate::arguments::{ExportArguments, ExportFormat};
use crate::{outputs, report};

pub(crate) fn run(arguments: &ExportArguments) -> Result<()> {
    let ExportFormat::Edge = arguments.format;
    let device = zor::device("auto")?;
    let model = run::model_file(&arguments.model)?;
    let out = arguments.out.clone().unwrap_or_else(|| outputs::image_of(&model));
    let inputs = [Some(&model), arguments.images.as_ref(), arguments.data_dir.as_ref()];
    outputs::check(&out, inputs.into_iter().flatten().map(PathBuf::as_path))?;
    if out.extension().is_none_or(|ending| !ending.eq_ignore_ascii_case("zore")) {
        return Err(Error::in_file(
            &out,
            "an image for small devices is known by its ending; give a name that ends in .zore",
        ));
    }
    let (network, header) = io::load(&model, &device)?;
    let task = checkpoint::task_of(&header.notes, &model).map_err(|error| {
        error.with_advice("zor::io::edge::export makes an image with samples of another task")
    })?;
    let mut all = match &arguments.images {
        Some(path) => Images::own(path)?,
        None => {
            let locations = Locations::from_environment(arguments.data_dir.clone());
            Images::load(task.data_set(), &locations)?
        }
    };
    let (train, mut found) = images::for_model(all.train, task, &network, &header.notes)?;
    all.train = train;
    if let Some(test) = all.test.take() {
        let (test, of_test) = images::for_model(test, task, &network, &header.notes)?;
        found.missing.retain(|class| of_test.missing.contains(class));
        found.left_out += of_test.left_out;
        all.test = Some(test);
    }
    images::remarks(&found).iter().for_each(|remark| tell!("warning: {remark}"));
    // Training images that evaluation leaves alone, and those that the task is evaluated on.
    let options = Options {
        task: Some(task),
        train_samples: Some(zor::options::Count::All),
        samples_per_class: None,
        samples: None,
        ..checkpoint::settings_of(&header.notes).unwrap_or_default()
    };
    let data = images::choose(&all, &Settings::resolve(&options)?)?;
    let dtype = if arguments.int8 { DType::Int8 } else { DType::F32 };
    let image = edge::export(&network, task, &data.train, dtype, &device)?;
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
        shown(&out),
        4 * scratch
    );
    if !arguments.json {
        say!("{text}");
        return Ok(());
    }
    tell!("{text}");
    let gates = measured.layers.iter().filter(|layer| layer.has_gate);
    let mut object = json!({
        "task": task,
        "format": "edge",
        "dtype": type_name,
        "file": out.to_string_lossy(),
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
