//! What a run looks like: images in rows.

use std::path::Path;

use image::{Rgb, RgbImage};
use zor::data::ImageShape;
use zor::options::TaskName;
use zor::prelude::{Tensor, matrix};
use zor::{Result, io};

use crate::file_error;
use crate::finished::Run;

/// Images in a row of `reconstructions.png`.
const SHOWN: usize = 16;
/// Pixels that one pixel of an image becomes.
const SCALE: usize = 3;
/// Pixels between images.
const GAP: usize = 6;

/// In rows: what the network is shown, its answers, each baseline's, and the truth where that is not shown.
pub(crate) fn samples(run: &Run, out: &Path) -> Result<()> {
    let task = run.settings.task;
    let data = &run.data.evaluation;
    let shown = data.first(SHOWN.min(data.len()))?;
    let images = matrix(&shown.pixels(), shown.len(), &run.device);
    let question = task.question(images.clone());
    let mut rows = vec![run.trained.network.predict(question.clone())?];
    rows.extend(run.baselines.iter().map(|baseline| baseline.predict(question.clone())));
    if let Some(twin) = &run.twin {
        rows.push(twin.network.predict(question.clone())?);
    }
    let mut rows: Vec<Vec<f32>> = rows.into_iter().map(values).collect();
    let name = if task == TaskName::CifarColorization {
        let grey = values(question).into_iter().flat_map(|value| [value; 3]).collect();
        rows.insert(0, grey);
        rows.push(values(images));
        "colorization.png"
    } else {
        rows.insert(0, values(images));
        "reconstructions.png"
    };
    grid(&rows, data.shape(), &out.join(name))
}

/// Draws rows of images.
pub(crate) fn grid(rows: &[Vec<f32>], shape: ImageShape, path: &Path) -> Result<()> {
    let ImageShape { height, width, channels } = shape;
    let columns = rows.first().map_or(0, |row| row.len() / shape.len());
    let cell = (width * SCALE + GAP, height * SCALE + GAP);
    let size = (columns * cell.0 + GAP, rows.len() * cell.1 + GAP);
    let mut picture = RgbImage::from_pixel(size.0 as u32, size.1 as u32, Rgb([255; 3]));
    for (row, images) in rows.iter().enumerate() {
        for (column, image) in images.chunks_exact(shape.len()).enumerate() {
            let corner = (GAP + column * cell.0, GAP + row * cell.1);
            for y in 0..height * SCALE {
                for x in 0..width * SCALE {
                    let pixel = &image[((y / SCALE) * width + x / SCALE) * channels..][..channels];
                    // A gray pixel's one value stands for all three.
                    let colour = [0, 1, 2].map(|channel: usize| {
                        let value = pixel[channel.min(channels - 1)];
                        (value.clamp(0.0, 1.0) * 255.0).round() as u8
                    });
                    picture.put_pixel((corner.0 + x) as u32, (corner.1 + y) as u32, Rgb(colour));
                }
            }
        }
    }
    write_png(&picture, path)
}

pub(crate) fn write_png(picture: &RgbImage, path: &Path) -> Result<()> {
    let mut bytes = Vec::new();
    let mut to = std::io::Cursor::new(&mut bytes);
    picture
        .write_to(&mut to, image::ImageFormat::Png)
        .map_err(|error| file_error(path, "draw it", &error))?;
    Ok(io::atomic::write(path, &bytes)?)
}

pub(crate) fn values(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}
