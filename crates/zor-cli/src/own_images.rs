//! What models make of a user's own images: `zor reconstruct` and `zor colorize`.

use std::path::Path;

use image::{DynamicImage, ImageError, ImageReader, RgbImage};
use zor::color::luminance_of;
use zor::data::ImageShape;
use zor::prelude::{Deviation, Network, matrix};
use zor::{Error, Result, io};

use crate::arguments::{ColorizeArguments, ReconstructArguments};
use crate::make_folder;
use crate::pictures::{grid, values, write_png};

/// `zor reconstruct`.
pub(crate) fn reconstruct(arguments: &ReconstructArguments) -> Result<()> {
    let device = zor::device(&arguments.device)?;
    let (network, _) = io::load(&arguments.model, &device)?;
    let shape = image_shape(&network, &arguments.model)?;
    let mut inputs = Vec::new();
    for path in &arguments.images {
        inputs.extend(read_image(path, shape)?);
    }
    let n = arguments.images.len();
    let input = matrix(&inputs, n, &device);
    let output = network.predict(input)?;
    let outputs = values(output);
    for (index, path) in arguments.images.iter().enumerate() {
        let range = index * shape.len()..(index + 1) * shape.len();
        let deviation = Deviation::between(&inputs[range.clone()], &outputs[range]);
        println!("{}: {:.2} dB", path.display(), deviation.psnr_db());
    }
    grid(&[inputs, outputs], shape, &arguments.out)?;
    println!("written to {}", arguments.out.display());
    Ok(())
}

/// What a model that reproduces images takes.
fn image_shape(network: &Network, model: &Path) -> Result<ImageShape> {
    match (network.input_shape(), network.output_shape()) {
        (&[height, width, channels @ (1 | 3)], output)
            if output.iter().product::<usize>() == height * width * channels =>
        {
            Ok(ImageShape { height, width, channels })
        }
        (input, output) => Err(Error::input(format!(
            "{}: it makes {output:?} of {input:?}; zor reconstruct takes models that reproduce images",
            model.display()
        ))),
    }
}

/// An image file as values in [0, 1].
fn read_image(path: &Path, shape: ImageShape) -> Result<Vec<f32>> {
    let ImageShape { height, width, channels } = shape;
    let decoded = decode(path)?;
    let found = (decoded.height() as usize, decoded.width() as usize);
    if found != (height, width) {
        return Err(Error::input(format!(
            "{}: it is {}x{}, the model takes {width}x{height}; resize it first",
            path.display(),
            found.1,
            found.0
        )));
    }
    let bytes =
        if channels == 1 { decoded.to_luma8().into_raw() } else { decoded.to_rgb8().into_raw() };
    Ok(bytes.iter().map(|&value| f32::from(value) / 255.0).collect())
}

fn decode(path: &Path) -> Result<DynamicImage> {
    let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format);
    let decoded = reader.map_err(ImageError::IoError).and_then(ImageReader::decode);
    decoded.map_err(|error| match error {
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Error::input(format!("{}: there is no such file", path.display()))
        }
        error => {
            Error::input(format!("{}: it cannot be read as PNG or JPEG: {error}", path.display()))
        }
    })
}

/// `zor colorize`.
pub(crate) fn colorize(arguments: &ColorizeArguments) -> Result<()> {
    let device = zor::device(&arguments.device)?;
    let (network, _) = io::load(&arguments.model, &device)?;
    make_folder(&arguments.out)?;
    for path in &arguments.images {
        let picture = decode(path)?.to_rgb8();
        let (width, height) = picture.dimensions();
        let grey: Vec<f32> =
            picture.pixels().map(|pixel| luminance_of(&pixel.0.map(f32::from)) / 255.0).collect();
        let size = [height as usize, width as usize];
        let found = zor::colorize::colorize(&network, &grey, size, &device)
            .map_err(|error| Error::input(format!("{}: {error}", arguments.model.display())))?;
        let bytes = found.iter().map(|value| (value.clamp(0.0, 1.0) * 255.0).round() as u8);
        let out = arguments.out.join(path.file_stem().unwrap_or_default()).with_extension("png");
        let colours = RgbImage::from_raw(width, height, bytes.collect());
        let colours = colours.ok_or_else(|| Error::input("the picture has no pixels"))?;
        write_png(&colours, &out)?;
        println!("{}", out.display());
    }
    Ok(())
}
