//! `zor export`: a model as a program for small devices, with the accuracy that it loses by that.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::json;
use zor_compile::Detector;
use zor_data::table::Coding;

use super::arguments::{ExportArguments, ExportFormat};
use crate::detection::{self, Scheme};
use crate::export::{self, DType};
use crate::run::{outputs, results};
use crate::settings::Settings;
use crate::task::{DataLocation, Model, Plan, Score};
use crate::training::evaluate::evaluate;
use crate::training::run_folder;
use crate::{Error, Result, escaped, shown};

/// False-alarm rate of detectors if none is given.
const FALSE_ALARM_RATE: f32 = 0.05;

pub(super) fn run(arguments: &ExportArguments) -> Result<()> {
    let ExportFormat::Edge = arguments.format;
    let device = crate::device("auto")?;
    let path = run_folder::model_file(&arguments.model)?;
    let out = arguments.out.clone().unwrap_or_else(|| outputs::program_of(&path));
    let inputs = [Some(&path), arguments.data.as_ref(), arguments.data_dir.as_ref()];
    outputs::check(&out, inputs.into_iter().flatten().map(PathBuf::as_path))?;
    if out.extension().is_none_or(|ending| !ending.eq_ignore_ascii_case("zore")) {
        return Err(Error::in_file(
            &out,
            "a program for small devices is known by its ending; give a name that ends in .zore",
        ));
    }
    let model = Model::load(&path, &device).map_err(|error| {
        error.with_advice("zor::compile::compile makes a program with samples of another task")
    })?;
    let place = DataLocation {
        data: arguments.data.clone(),
        data_dir: arguments.data_dir.clone(),
        ..DataLocation::default()
    };
    let (data, remarks) = model.plan.task.load_for(&model, &place)?;
    remarks.iter().for_each(|remark| tell!("warning: {remark}"));
    let dtype = if arguments.int8 { DType::I8 } else { DType::F32 };
    let is_detector = model.plan.task.commands().contains(&"detect");
    let program = match (is_detector, arguments.false_alarm_rate) {
        (true, rate) => {
            export::export_detector(&model, &data, dtype, rate.unwrap_or(FALSE_ALARM_RATE))?
        }
        (false, None) => export::export(&model, &data, dtype, &device)?,
        (false, Some(_)) => {
            let message = "--false-alarm-rate has no effect here: it is for detectors";
            return Err(Error::input(message));
        }
    };
    program.save(&out)?;

    // The program sees each input once.
    let Plan { task, settings } = model.plan.clone();
    let settings = Settings { test_time_flip: false, test_time_shift: false, ..settings };
    let score = evaluate(&model.network, &Plan { task, settings }, &*data.evaluation, &device)?;
    let measured = export::evaluate(&program, &model, &data, &device)?;
    let small = program.network()?;
    let headline = |score: &Score| score.headline().map_or_else(String::new, ToString::to_string);
    let type_name = if arguments.int8 { "int8" } else { "f32" };
    let mut text = format!(
        "{:<16}{:>12}\n{:<16}{:>12}   on {} {}: {}\n\n{:<8}{:>16}{:>12}{:>14}{:>14}\n",
        "model",
        headline(&score),
        format!("program, {type_name}"),
        headline(&measured.score),
        data.evaluation.len(),
        data.unit,
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
    let detector = if is_detector { Some(program.detector()?) } else { None };
    let scratch = detector.as_ref().map_or(small.scratch_len(), Detector::scratch_len);
    let bytes = program.bytes().len();
    let _ = write!(
        text,
        "\n{}: {bytes} bytes; it needs scratch memory of {scratch} f32 numbers ({} bytes) and a few kilobytes of stack",
        shown(&out),
        4 * scratch
    );
    if let (Some(detector), Some(scheme)) = (&detector, detection::Scoring::of(&model).ok()) {
        let _ = write!(text, "{}", columns(detector, &scheme.scheme));
    }
    if !arguments.json {
        say!("{text}");
        return Ok(());
    }
    tell!("{text}");
    let gates = measured.layers.iter().filter(|layer| layer.has_gate);
    let mut object = json!({
        "task": model.plan.task.name(),
        "format": "edge",
        "dtype": type_name,
        "file": out.to_string_lossy(),
        "bytes": bytes,
        "scratch_bytes": 4 * scratch,
        "eval_samples": data.evaluation.len(),
        "spike_rates": gates.map(|layer| layer.outputs).collect::<Vec<_>>(),
        "model_metrics": score.to_json(),
    });
    if let Some(detector) = detector {
        object["threshold"] = detector.scoring().threshold.into();
        object["row_values"] = detector.row_len().into();
    }
    results::add(&mut object, measured.score.to_json());
    say!("{object}");
    Ok(())
}

/// Describes what the firmware gives a detector: the numbers of a row, in order.
fn columns(detector: &Detector<'_>, scheme: &Scheme) -> String {
    let (len, threshold) = (detector.row_len(), detector.scoring().threshold);
    let mut text = format!("\ndetector: {len} numbers in, alarm above {threshold:.4}");
    if scheme.windowing.window > 1 {
        let rows = scheme.windowing.window;
        let _ = write!(text, "; a window is {rows} rows, the oldest first");
    }
    for column in 0..scheme.features.len() {
        let what = match scheme.features.coding(column) {
            Coding::Number { center, scale } => format!("(x - {center:.5}) / {scale:.5}"),
            Coding::Categories(names) => {
                let shown = names.iter().enumerate().map(|(at, name)| format!("{at} for {name}"));
                shown.collect::<Vec<_>>().join(", ")
            }
        };
        let name = scheme.features.name(column);
        let _ = write!(text, "\n  number {column}, {}: {}", escaped(name), escaped(&what));
    }
    text
}
