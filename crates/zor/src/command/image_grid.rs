//! Rows of images as one PNG.

use std::path::Path;

use crate::{Error, Result};
use image::{Rgb, RgbImage};
use zor_data::ImageShape;

/// Width of a run's picture in pixels, above which a row has fewer images.
const MAX_WIDTH: usize = 8192;
/// Pixels of a picture, at most.
const MAX_PIXELS: usize = 1 << 28;
/// Side in pixels up to which images are enlarged.
const SIDE: usize = 100;
/// Pixels of a side that one pixel of an image becomes, at most.
const SCALE: usize = 3;
/// Pixels between images.
const GAP: usize = 6;

/// Pixels of a side that one pixel of an image becomes.
fn scale(shape: ImageShape) -> usize {
    (SIDE / shape.height.max(shape.width)).clamp(1, SCALE)
}

/// Draws rows of images, of each row as many as there is room for.
pub(super) fn first_of(
    rows: &[Vec<f32>],
    shape: ImageShape,
    path: &Path,
    notes: &[(&str, &str)],
) -> Result<()> {
    let fit = (MAX_WIDTH / (shape.width * scale(shape) + GAP)).max(1) * shape.len();
    let rows: Vec<Vec<f32>> = rows.iter().map(|row| row[..fit.min(row.len())].to_vec()).collect();
    grid(&rows, shape, path, notes)
}

/// Draws rows of images. `notes` are texts by key that the file carries.
pub(super) fn grid(
    rows: &[Vec<f32>],
    shape: ImageShape,
    path: &Path,
    notes: &[(&str, &str)],
) -> Result<()> {
    let (ImageShape { height, width, channels }, scale) = (shape, scale(shape));
    let columns = rows.first().map_or(0, |row| row.len() / shape.len());
    let cell = (width * scale + GAP, height * scale + GAP);
    let size = (columns * cell.0 + GAP, rows.len() * cell.1 + GAP);
    if size.0.saturating_mul(size.1) > MAX_PIXELS {
        let message = format!("{columns} images are too many for one picture; give fewer");
        return Err(Error::in_file(path, message));
    }
    let mut picture = RgbImage::from_pixel(size.0 as u32, size.1 as u32, Rgb([255; 3]));
    for (row, images) in rows.iter().enumerate() {
        for (column, image) in images.chunks_exact(shape.len()).enumerate() {
            let corner = (GAP + column * cell.0, GAP + row * cell.1);
            for y in 0..height * scale {
                for x in 0..width * scale {
                    let pixel = &image[((y / scale) * width + x / scale) * channels..][..channels];
                    // A gray pixel's one value stands for all three.
                    let color = [0, 1, 2].map(|channel: usize| {
                        let value = pixel[channel.min(channels - 1)];
                        (value.clamp(0.0, 1.0) * 255.0).round() as u8
                    });
                    picture.put_pixel((corner.0 + x) as u32, (corner.1 + y) as u32, Rgb(color));
                }
            }
        }
    }
    write_png(&picture, path, notes)
}

/// Writes a picture as PNG. `notes` are texts by key that the file carries.
pub(super) fn write_png(picture: &RgbImage, path: &Path, notes: &[(&str, &str)]) -> Result<()> {
    let mut bytes = Vec::new();
    let mut encode = || -> std::result::Result<(), png::EncodingError> {
        let mut encoder = png::Encoder::new(&mut bytes, picture.width(), picture.height());
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        for (key, text) in notes {
            encoder.add_itxt_chunk((*key).to_owned(), (*text).to_owned())?;
        }
        encoder.write_header()?.write_image_data(picture.as_raw())
    };
    encode().map_err(|error| Error::file_system(path, "draw it", &error))?;
    Ok(zor_io::atomic::write(path, &bytes)?)
}
