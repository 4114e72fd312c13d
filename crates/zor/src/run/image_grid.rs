//! Grids of images as PNG.

use std::path::Path;

use crate::{Error, Result};
use image::{Rgb, RgbImage};
use zor_data::ImageShape;

/// Maximum width of a run's picture in pixels; rows are cut to fit.
const MAX_WIDTH: usize = 8192;
/// Maximum number of pixels in a picture.
const MAX_PIXELS: usize = 1 << 28;
/// Small images are enlarged up to this side length in pixels.
const SIDE: usize = 100;
/// Maximum enlargement factor.
const SCALE: usize = 3;
/// Space between images in pixels.
const GAP: usize = 6;

/// Returns the enlargement factor for images of a shape.
fn scale(shape: ImageShape) -> usize {
    (SIDE / shape.height.max(shape.width)).clamp(1, SCALE)
}

/// Draws rows of images, cut to the number of images that fit.
pub(crate) fn first_of(
    rows: &[Vec<f32>],
    shape: ImageShape,
    path: &Path,
    notes: &[(&str, &str)],
) -> Result<()> {
    let fit = (MAX_WIDTH / (shape.width * scale(shape) + GAP)).max(1) * shape.len();
    let rows: Vec<Vec<f32>> = rows.iter().map(|row| row[..fit.min(row.len())].to_vec()).collect();
    grid(&rows, shape, path, notes)
}

/// Draws rows of images. `notes` are text entries of the PNG file, by key.
pub(crate) fn grid(
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
        let message = format!("{columns} images do not fit into one picture; give fewer");
        return Err(Error::in_file(path, message));
    }
    let mut picture = RgbImage::from_pixel(size.0 as u32, size.1 as u32, Rgb([255; 3]));
    for (row, images) in rows.iter().enumerate() {
        for (column, image) in images.chunks_exact(shape.len()).enumerate() {
            let corner = (GAP + column * cell.0, GAP + row * cell.1);
            for y in 0..height * scale {
                for x in 0..width * scale {
                    let pixel = &image[((y / scale) * width + x / scale) * channels..][..channels];
                    // Grey images have one channel, used for red, green and blue.
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

/// Writes a picture as PNG. `notes` are text entries of the file, by key.
pub(crate) fn write_png(picture: &RgbImage, path: &Path, notes: &[(&str, &str)]) -> Result<()> {
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
