//! What a run looks like: reconstructions in rows, the curve, and a user's own images.

use std::fmt::Write;
use std::path::Path;

use image::{GrayImage, ImageError, ImageReader, Luma};
use zor::options::TaskName;
use zor::prelude::{Deviation, Network, Tensor, matrix};
use zor::train::Trained;
use zor::{Error, Result, io};

use crate::arguments::ReconstructArguments;
use crate::file_error;
use crate::finished::Run;

/// Images in a row of `reconstructions.png`.
const SHOWN: usize = 16;
/// Pixels that one pixel of an image becomes.
const SCALE: usize = 3;
/// Pixels between images.
const GAP: usize = 6;

/// Evaluation images, our reconstructions, and each baseline's, in rows.
pub(crate) fn reconstructions(run: &Run, path: &Path) -> Result<()> {
    let data = &run.data.evaluation;
    let shown = data.first(SHOWN.min(data.len()))?;
    let input = matrix(&shown.pixels(), shown.len(), &run.device);
    let mut rows = vec![input.clone(), run.trained.network.predict(input.clone())?];
    rows.extend(run.baselines.iter().map(|baseline| baseline.predict(input.clone())));
    let rows: Vec<Vec<f32>> = rows.into_iter().map(values).collect();
    grid(&rows, data.shape().width, data.shape().height, path)
}

/// `zor reconstruct`.
pub(crate) fn reconstruct(arguments: &ReconstructArguments) -> Result<()> {
    let device = zor::device(&arguments.device)?;
    let (network, _) = io::load(&arguments.model, &device)?;
    let (height, width) = gray_size(&network, &arguments.model)?;
    let mut inputs = Vec::new();
    for path in &arguments.images {
        inputs.extend(read_gray(path, height, width)?);
    }
    let n = arguments.images.len();
    let input = matrix(&inputs, n, &device);
    let output = network.predict(input)?;
    let outputs = values(output);
    for (index, path) in arguments.images.iter().enumerate() {
        let range = index * height * width..(index + 1) * height * width;
        let mut squared = 0.0;
        for (input, output) in inputs[range.clone()].iter().zip(&outputs[range]) {
            squared += f64::from(input - output).powi(2);
        }
        let elements = height * width;
        let sums = zor::core::ops::ErrorSums { absolute: 0.0, squared };
        println!("{}: {:.2} dB", path.display(), Deviation { sums, elements }.psnr_db());
    }
    grid(&[inputs, outputs], width, height, &arguments.out)?;
    println!("written to {}", arguments.out.display());
    Ok(())
}

/// Height and width of a model that takes gray images.
fn gray_size(network: &Network, model: &Path) -> Result<(usize, usize)> {
    match (network.input_shape(), network.output_shape()) {
        (&[height, width, 1], output) if output.iter().product::<usize>() == height * width => {
            Ok((height, width))
        }
        (input, output) => Err(Error::input(format!(
            "{}: it makes {output:?} of {input:?}; zor reconstruct takes models that reproduce gray images",
            model.display()
        ))),
    }
}

/// An image file as values in [0, 1].
fn read_gray(path: &Path, height: usize, width: usize) -> Result<Vec<f32>> {
    let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format);
    let decoded = reader.map_err(ImageError::IoError).and_then(ImageReader::decode);
    let decoded = decoded.map_err(|error| match error {
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Error::input(format!("{}: there is no such file", path.display()))
        }
        error => {
            Error::input(format!("{}: it cannot be read as PNG or JPEG: {error}", path.display()))
        }
    })?;
    let found = (decoded.height() as usize, decoded.width() as usize);
    if found != (height, width) {
        return Err(Error::input(format!(
            "{}: it is {}x{}, the model takes {width}x{height}; resize it first",
            path.display(),
            found.1,
            found.0
        )));
    }
    Ok(decoded.to_luma8().into_raw().iter().map(|&value| f32::from(value) / 255.0).collect())
}

/// Draws rows of images, each of `width` x `height` values.
fn grid(rows: &[Vec<f32>], width: usize, height: usize, path: &Path) -> Result<()> {
    let columns = rows.first().map_or(0, |row| row.len() / (width * height));
    let cell = (width * SCALE + GAP, height * SCALE + GAP);
    let size = (columns * cell.0 + GAP, rows.len() * cell.1 + GAP);
    let mut picture = GrayImage::from_pixel(size.0 as u32, size.1 as u32, Luma([255]));
    for (row, images) in rows.iter().enumerate() {
        for (column, image) in images.chunks_exact(width * height).enumerate() {
            let corner = (GAP + column * cell.0, GAP + row * cell.1);
            for y in 0..height * SCALE {
                for x in 0..width * SCALE {
                    let value = image[(y / SCALE) * width + x / SCALE];
                    let gray = (value.clamp(0.0, 1.0) * 255.0).round() as u8;
                    picture.put_pixel((corner.0 + x) as u32, (corner.1 + y) as u32, Luma([gray]));
                }
            }
        }
    }
    let mut bytes = Vec::new();
    let mut to = std::io::Cursor::new(&mut bytes);
    picture
        .write_to(&mut to, image::ImageFormat::Png)
        .map_err(|error| file_error(path, "draw it", &error))?;
    Ok(io::atomic::write(path, &bytes)?)
}

fn values(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// PSNR or top-1 against steps, ours and the baselines', as SVG.
pub(crate) fn curve(run: &Run, path: &Path) -> Result<()> {
    let heights = |trained: &Trained| {
        trained.curve.iter().map(|point| (point.step as f64, point.evaluation.headline())).collect()
    };
    let mut lines: Vec<Line> = vec![("Zor", "#c2410c", heights(&run.trained))];
    for (baseline, colour) in run.baselines.iter().zip(["#64748b", "#0f766e"]) {
        let points = baseline.curve.iter().map(|(step, found)| (*step as f64, found.psnr_db()));
        lines.push((baseline.output.name(), colour, points.collect()));
    }
    if let Some(twin) = &run.twin {
        lines.push(("backprop, same network", "#64748b", heights(twin)));
    }
    let axis = match run.settings.task {
        TaskName::FashionReconstruction => "PSNR of unseen images, dB",
        _ => "top-1 of unseen images, %",
    };
    Ok(io::atomic::write(path, svg(&lines, axis).as_bytes())?)
}

/// Name, colour, and places of step and PSNR.
type Line = (&'static str, &'static str, Vec<(f64, f64)>);

fn svg(lines: &[Line], axis: &str) -> String {
    let (width, height, left, right, top, bottom) = (640.0, 360.0, 60.0, 620.0, 20.0, 315.0);
    let all = || lines.iter().flat_map(|(.., points)| points);
    let last = all().map(|p| p.0).fold(1.0, f64::max);
    let low = all().map(|p| p.1).filter(|y| y.is_finite()).fold(f64::INFINITY, f64::min).floor();
    let high = all().map(|p| p.1).filter(|y| y.is_finite()).fold(low + 1.0, f64::max).ceil();
    let place = |(x, y): (f64, f64)| {
        (left + (right - left) * x / last, bottom - (bottom - top) * (y - low) / (high - low))
    };
    let mut text = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' font-family='sans-serif' font-size='12'>\n\
         <rect width='100%' height='100%' fill='white'/>\n"
    );
    let ticks = ((high - low) / 6.0).ceil().max(1.0);
    let mut y = low;
    while y <= high {
        let (_, at) = place((0.0, y));
        let _ = writeln!(
            text,
            "<path d='M{left} {at:.1}H{right}' stroke='#e2e8f0'/><text x='{}' y='{:.1}' text-anchor='end'>{y}</text>",
            left - 8.0,
            at + 4.0
        );
        y += ticks;
    }
    for quarter in 0..=4 {
        let x = last * f64::from(quarter) / 4.0;
        let (at, _) = place((x, low));
        let _ = writeln!(
            text,
            "<text x='{at:.1}' y='{}' text-anchor='middle'>{x:.0}</text>",
            bottom + 18.0
        );
    }
    let middle = (left + right) / 2.0;
    let _ = writeln!(
        text,
        "<text x='{middle}' y='{}' text-anchor='middle'>training steps</text>",
        height - 8.0
    );
    let _ = writeln!(
        text,
        "<text transform='translate(16 170) rotate(-90)' text-anchor='middle'>{axis}</text>"
    );
    for (index, (name, colour, points)) in lines.iter().enumerate() {
        let path: Vec<String> = points
            .iter()
            .filter(|point| point.1.is_finite())
            .map(|&point| place(point))
            .map(|(x, y)| format!("{x:.1} {y:.1}"))
            .collect();
        let _ = writeln!(
            text,
            "<path d='M{}' fill='none' stroke='{colour}' stroke-width='2'/>",
            path.join("L")
        );
        let y = bottom - 14.0 - 16.0 * (lines.len() - 1 - index) as f64;
        let _ = writeln!(
            text,
            "<text x='{}' y='{y}' text-anchor='end' fill='{colour}'>{name}</text>",
            right - 6.0
        );
    }
    text.push_str("</svg>\n");
    text
}
