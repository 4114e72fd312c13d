//! Predictions for the user's own images: `zor reconstruct`, `zor classify` and `zor colorize`.

use std::collections::BTreeMap;
use std::path::Path;

use image::RgbImage;
use serde_json::json;
use zor_core::Workspace;
use zor_core::burn::tensor::activation::softmax;
use zor_data::{ImageShape, Picture, Reading};

use super::arguments::{ClassifyArguments, ColorizeArguments, ReconstructArguments};
use super::make_folder;
use crate::prelude::{ErrorMetrics, Network, matrix};
use crate::run::image_grid::{grid, write_png};
use crate::run::outputs;
use crate::task::Model;
use crate::tasks::parts::color::luminance_of;
use crate::tasks::parts::colorize;
use crate::tasks::plan_of;
use crate::training::run_folder;
use crate::{Error, Result, escaped, shown};

/// `zor reconstruct`.
pub(super) fn reconstruct(arguments: &ReconstructArguments) -> Result<()> {
    let device = crate::device(&arguments.device)?;
    let model = run_folder::model_file(&arguments.model)?;
    let read = arguments.images.iter().chain([&model]).map(|path| path.as_path());
    outputs::check(&arguments.out, read)?;
    check_made(&arguments.out, "run", None)?;
    let ending = arguments.out.extension().unwrap_or_default();
    if ["jpg", "jpeg", "webp"].iter().any(|other| ending.eq_ignore_ascii_case(other)) {
        return Err(Error::in_file(
            &arguments.out,
            "pictures are written as PNG; give a name that ends in .png",
        ));
    }
    let (network, header) = zor_io::load(&model, &device)?;
    let shape = image_shape(&network, &model)?;
    let mut inputs = Vec::new();
    // Without the settings of a known task, images are not resized or cropped.
    let reading = plan_of(&header.notes, &model)
        .map_or_else(|_| Reading::default(), |plan| plan.settings.reading());
    for path in &arguments.images {
        inputs.extend(read_image(path, shape, &reading)?);
    }
    let n = arguments.images.len();
    let input = matrix(&inputs, n, &device)?;
    let output = network.predict(input)?;
    let outputs = zor_core::ops::read(output)?;
    let mut lines = Vec::new();
    for (index, path) in arguments.images.iter().enumerate() {
        let range = index * shape.len()..(index + 1) * shape.len();
        let deviation = ErrorMetrics::between(&inputs[range.clone()], &outputs[range])?;
        lines.push(format!("{}: {:.2} dB", shown(path), deviation.psnr_db()));
    }
    let identity = header.notes.get("run").map_or("", String::as_str);
    grid(&[inputs, outputs], shape, &arguments.out, &[("run", identity)])?;
    lines.iter().for_each(|line| say!("{line}"));
    say!("written to {}", shown(&arguments.out));
    Ok(())
}

/// Returns the image shape of a model that reconstructs images.
fn image_shape(network: &Network, model: &Path) -> Result<ImageShape> {
    match (network.input_shape(), network.output_shape()) {
        (&[height, width, channels @ (1 | 3)], output)
            if output.iter().product::<usize>() == height * width * channels =>
        {
            Ok(ImageShape { height, width, channels })
        }
        (input, output) => Err(Error::in_file(
            model,
            format!(
                "it maps {input:?} to {output:?}; `zor reconstruct` needs a model that reconstructs images"
            ),
        )),
    }
}

/// Reads an image file as values in [0, 1].
fn read_image(path: &Path, shape: ImageShape, reading: &Reading) -> Result<Vec<f32>> {
    let picture = reading.apply(Picture::read(path)?, path)?;
    let found = picture.shape();
    let remedy = match () {
        () if (found.height, found.width) != (shape.height, shape.width) => "resize it first",
        () if found.channels < shape.channels => "convert it to RGB first",
        () if found.channels > shape.channels => "convert it to grey first",
        () => return Ok(picture.values().iter().map(|&value| f32::from(value) / 255.0).collect()),
    };
    let said = |shape: ImageShape| {
        let kind = if shape.channels == 1 { "grey" } else { "colour" };
        format!("{}x{} in {kind}", shape.width, shape.height)
    };
    let message = format!("it is {}, the model takes {}; {remedy}", said(found), said(shape));
    Err(Error::in_file(path, message))
}

/// `zor classify`.
pub(super) fn classify(arguments: &ClassifyArguments) -> Result<()> {
    let device = crate::device(&arguments.device)?;
    let model = Model::load(&arguments.model, &device)?;
    model.check_command("classify")?;
    let &[height, width, channels] = model.network.input_shape() else {
        return Err(Error::in_file(&model.path, "its inputs are not images"));
    };
    let shape = ImageShape { height, width, channels };
    let mut inputs = Vec::new();
    let reading = model.plan.settings.reading();
    for path in &arguments.images {
        inputs.extend(read_image(path, shape, &reading)?);
    }
    let input = matrix(&inputs, arguments.images.len(), &device)?;
    let mut workspace = Workspace::new(&device);
    let (task, settings) = (model.plan.task, arguments.views.settings(&model.plan.settings));
    let output = task.predict(&model.network, &settings, input.into(), &mut workspace)?;
    let n_classes = output.dims()[1];
    let scores = zor_core::ops::read(softmax(output, 1))?;
    let names: Vec<String> = model
        .classes()
        .filter(|names| names.len() == n_classes)
        .unwrap_or_else(|| (0..n_classes).map(|class| class.to_string()).collect());
    let mut images = Vec::new();
    for (path, scores) in arguments.images.iter().zip(scores.chunks_exact(n_classes)) {
        let mut ranked: Vec<(&String, f32)> = names.iter().zip(scores.iter().copied()).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        let said: Vec<String> = ranked
            .iter()
            .map(|(name, score)| format!("{} {:.1} %", escaped(name), 100.0 * score))
            .collect();
        let line = format!("{}: {}", shown(path), said.join(", "));
        if arguments.json {
            tell!("{line}")
        } else {
            say!("{line}")
        }
        let scores: serde_json::Map<_, _> =
            ranked.iter().map(|(name, score)| ((*name).clone(), json!(score))).collect();
        images.push(
            json!({ "image": path.to_string_lossy(), "class": ranked[0].0, "scores": scores }),
        );
    }
    if arguments.json {
        say!("{}", json!({ "model": model.path.to_string_lossy(), "images": images }));
    }
    Ok(())
}

/// `zor colorize`. Reads all images before it writes the first.
pub(super) fn colorize(arguments: &ColorizeArguments) -> Result<()> {
    let device = crate::device(&arguments.device)?;
    let model = run_folder::model_file(&arguments.model)?;
    let (network, header) = zor_io::load(&model, &device)?;
    let mut pictures = BTreeMap::new();
    for path in &arguments.images {
        let out = arguments.out.join(outputs::picture_name(path));
        outputs::check(&out, arguments.images.iter().chain([&model]).map(|path| path.as_path()))?;
        check_made(&out, SOURCE, Some(path))?;
        if let Some((other, _)) = pictures.insert(out, (path, Picture::read(path)?.into_rgb())) {
            return Err(Error::input(format!(
                "{} and {} would be written under one name; rename one, or colorize them into different folders (--out)",
                shown(other),
                shown(path)
            )));
        }
    }
    let identity = header.notes.get("run").map_or("", String::as_str);
    make_folder(&arguments.out)?;
    for (out, (path, picture)) in pictures {
        let ImageShape { height, width, .. } = picture.shape();
        let luminance = |pixel: &[u8]| {
            luminance_of(&[0, 1, 2].map(|channel: usize| f32::from(pixel[channel]) / 255.0))
        };
        let grey: Vec<f32> = picture.values().chunks_exact(3).map(luminance).collect();
        let found = colorize::colorize(&network, &grey, [height, width], &device)
            .map_err(|error| Error::in_file(&model, error))?;
        let bytes = found.iter().map(|value| (value.clamp(0.0, 1.0) * 255.0).round() as u8);
        let colored = RgbImage::from_raw(width as u32, height as u32, bytes.collect());
        let colored = colored.ok_or_else(|| Error::input("the picture has no pixels"))?;
        write_png(&colored, &out, &[("run", identity), (SOURCE, &source_name(path))])?;
        say!("{}", shown(&out));
    }
    Ok(())
}

/// Key of the PNG text entry with the file name of the original.
const SOURCE: &str = "source";

fn source_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Refuses to replace a picture that this command did not write, or that it wrote for a file with
/// another name. `key` is a text entry that pictures of this command have.
fn check_made(out: &Path, key: &str, of: Option<&Path>) -> Result<()> {
    let Ok(file) = std::fs::File::open(out) else { return Ok(()) };
    let reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().ok();
    let note = reader.as_ref().and_then(|reader| {
        let notes = &reader.info().utf8_text;
        notes.iter().find(|note| note.keyword == key)?.get_text().ok()
    });
    match (note, of) {
        (None, _) => Err(Error::in_file(
            out,
            "it is there already and was not written by this command; give another name with --out",
        )),
        (Some(source), Some(path)) if source != source_name(path) => Err(Error::in_file(
            out,
            format!(
                "it was made from {} and would be replaced by {}; give another folder with --out",
                escaped(&source),
                shown(path)
            ),
        )),
        _ => Ok(()),
    }
}
