//! Image files: PNG, JPEG and WebP with 8 bits a value.
//!
//! What would have to be guessed or thrown away is refused with the remedy: 16 bits, CMYK, transparency, animation.

use std::io::Cursor;
use std::path::Path;

use image::codecs::{jpeg::JpegDecoder, png::PngDecoder, webp::WebPDecoder};
use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat};

use crate::dataset::ImageShape;
use crate::error::{Error, Result};

/// What `convert -colorspace sRGB -depth 8 ...` and every image editor make.
const REMEDY: &str = "convert it to 8-bit RGB or grey PNG";

/// An image in memory, grey (one channel) or in colour (three).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    shape: ImageShape,
    values: Vec<u8>,
}

impl Picture {
    /// Reads a file, whatever it is called, upright if it says which way up it is.
    ///
    /// # Errors
    /// When there is no such file, it is no PNG, JPEG or WebP, is damaged, or has 16 bits a value, CMYK, transparent pixels or
    /// several frames. The message names it.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::in_file(path, "there is no such file"),
            _ => Error::file_system(path, "read it", &error),
        })?;
        Self::decode(&bytes).map_err(|message| Error::in_file(path, message))
    }

    /// Its size and channels.
    pub fn shape(&self) -> ImageShape {
        self.shape
    }

    /// Its values, row by row, the channels of a pixel together.
    pub fn values(&self) -> &[u8] {
        &self.values
    }

    /// The same picture with three equal values a pixel if it was grey.
    #[must_use]
    pub fn into_rgb(self) -> Self {
        if self.shape.channels == 3 {
            return self;
        }
        let values = self.values.iter().flat_map(|&value| [value; 3]).collect();
        Self { shape: ImageShape { channels: 3, ..self.shape }, values }
    }

    fn decode(bytes: &[u8]) -> std::result::Result<Self, String> {
        let unreadable = |error: image::ImageError| format!("it cannot be read: {error}");
        let body = Cursor::new(bytes);
        match image::guess_format(bytes) {
            Ok(ImageFormat::Png) => {
                let decoder = PngDecoder::new(body).map_err(unreadable)?;
                let animated = decoder.is_apng().map_err(unreadable)?;
                Self::finish(decoder, animated)
            }
            Ok(ImageFormat::Jpeg) => {
                if jpeg_components(bytes) == Some(4) {
                    return Err(format!("its colours are CMYK; {REMEDY}"));
                }
                Self::finish(JpegDecoder::new(body).map_err(unreadable)?, false)
            }
            Ok(ImageFormat::WebP) => {
                let decoder = WebPDecoder::new(body).map_err(unreadable)?;
                let animated = decoder.has_animation();
                Self::finish(decoder, animated)
            }
            _ => Err(format!("it is no PNG, JPEG or WebP; {REMEDY}")),
        }
    }

    fn finish(mut decoder: impl ImageDecoder, animated: bool) -> std::result::Result<Self, String> {
        if animated {
            return Err("it is animated; save the frame that you mean as PNG".to_owned());
        }
        if !matches!(
            decoder.color_type(),
            ColorType::L8 | ColorType::La8 | ColorType::Rgb8 | ColorType::Rgba8
        ) {
            return Err(format!("it has more than 8 bits a value; {REMEDY}"));
        }
        let unreadable = |error: image::ImageError| format!("it cannot be read: {error}");
        let orientation = decoder.orientation().map_err(unreadable)?;
        let mut image = DynamicImage::from_decoder(decoder).map_err(unreadable)?;
        image.apply_orientation(orientation);
        let (height, width) = (image.height() as usize, image.width() as usize);
        let with_alpha = image.color().has_alpha();
        let opaque =
            |values: &[u8], step| values.iter().skip(step - 1).step_by(step).all(|&a| a == 255);
        let transparent = with_alpha
            && match &image {
                DynamicImage::ImageLumaA8(image) => !opaque(image.as_raw(), 2),
                image => !opaque(image.as_bytes(), 4),
            };
        if transparent {
            return Err("it has transparent pixels; put it on a background first".to_owned());
        }
        let (channels, values) = if image.color().has_color() {
            (3, image.into_rgb8().into_raw())
        } else {
            (1, image.into_luma8().into_raw())
        };
        Ok(Self { shape: ImageShape { height, width, channels }, values })
    }
}

/// Colour components of a JPEG, from its frame header (ITU-T T.81, B.2.2); image libraries turn four of them into RGB
/// without a word.
fn jpeg_components(bytes: &[u8]) -> Option<u8> {
    let mut at = 2;
    loop {
        let (marker, kind) = (*bytes.get(at)?, *bytes.get(at + 1)?);
        if marker != 0xff {
            return None;
        }
        match kind {
            // Fill bytes, and markers that stand alone.
            0xff => at += 1,
            0x01 | 0xd0..=0xd8 => at += 2,
            // All frame headers, from 0xc0 to 0xcf without tables (c4), extensions (c8) and conditioning (cc).
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                return bytes.get(at + 9).copied();
            }
            _ => {
                let length = u16::from_be_bytes([*bytes.get(at + 2)?, *bytes.get(at + 3)?]);
                at += 2 + usize::from(length);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageBuffer, Luma, LumaA, Rgb, RgbImage, Rgba};

    fn file(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Vec::new();
        image.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
        bytes
    }

    fn refused(bytes: &[u8], words: &str) {
        let message = Picture::decode(bytes).unwrap_err();
        assert!(message.contains(words), "{message}");
    }

    fn gradient() -> RgbImage {
        RgbImage::from_fn(5, 3, |x, y| Rgb([40 * x as u8, 80 * y as u8, 7]))
    }

    #[test]
    fn what_is_written_is_read() {
        let rgb = DynamicImage::ImageRgb8(gradient());
        for format in [ImageFormat::Png, ImageFormat::WebP] {
            let found = Picture::decode(&file(&rgb, format)).unwrap();
            assert_eq!(found.shape(), ImageShape { height: 3, width: 5, channels: 3 });
            assert_eq!(found.values(), gradient().as_raw());
        }
        let jpeg = Picture::decode(&file(&rgb, ImageFormat::Jpeg)).unwrap();
        assert_eq!((jpeg.shape().height, jpeg.shape().channels), (3, 3));
        let grey = DynamicImage::ImageLuma8(ImageBuffer::from_pixel(2, 2, Luma([9])));
        let grey = Picture::decode(&file(&grey, ImageFormat::Png)).unwrap();
        assert_eq!((grey.shape().channels, grey.values()), (1, &[9; 4][..]));
        assert_eq!(grey.into_rgb().values(), [9; 12]);
        // Nothing is lost with alpha that is opaque everywhere.
        let opaque = DynamicImage::ImageRgba8(ImageBuffer::from_pixel(1, 1, Rgba([1, 2, 3, 255])));
        assert_eq!(Picture::decode(&file(&opaque, ImageFormat::Png)).unwrap().values(), [1, 2, 3]);
    }

    #[test]
    fn what_would_lose_something_is_refused() {
        let deep = DynamicImage::ImageRgb16(ImageBuffer::from_pixel(2, 2, Rgb([300, 2, 3])));
        refused(&file(&deep, ImageFormat::Png), "8 bits");
        let deep = DynamicImage::ImageLuma16(ImageBuffer::from_pixel(2, 2, Luma([300])));
        refused(&file(&deep, ImageFormat::Png), "8 bits");
        let glass = DynamicImage::ImageRgba8(ImageBuffer::from_pixel(2, 2, Rgba([1, 2, 3, 9])));
        refused(&file(&glass, ImageFormat::Png), "transparent");
        let glass = DynamicImage::ImageLumaA8(ImageBuffer::from_pixel(2, 2, LumaA([1, 9])));
        refused(&file(&glass, ImageFormat::Png), "transparent");
    }

    #[test]
    fn what_is_damaged_or_something_else_is_refused() {
        refused(b"GIF89a nothing", "no PNG, JPEG or WebP");
        refused(b"", "no PNG, JPEG or WebP");
        for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Jpeg] {
            let bytes = file(&DynamicImage::ImageRgb8(gradient()), format);
            for length in 0..bytes.len() / 2 {
                assert!(Picture::decode(&bytes[..length]).is_err(), "{format:?}, {length}");
            }
        }
    }

    /// A JPEG whose frame header says four components.
    #[test]
    fn cmyk_is_refused() {
        let mut bytes = file(&DynamicImage::ImageRgb8(gradient()), ImageFormat::Jpeg);
        assert_eq!(jpeg_components(&bytes), Some(3));
        let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        bytes[frame + 9] = 4;
        refused(&bytes, "CMYK");
    }

    /// An animation control chunk makes a PNG an animated one.
    #[test]
    fn animations_are_refused() {
        let bytes = file(&DynamicImage::ImageRgb8(gradient()), ImageFormat::Png);
        // Two frames, endless; behind the header chunk, which ends at byte 33.
        let mut chunk = b"acTL\0\0\0\x02\0\0\0\0".to_vec();
        let mut crc = flate2::Crc::new();
        crc.update(&chunk);
        chunk.extend(crc.sum().to_be_bytes());
        let animated = [&bytes[..33], &8u32.to_be_bytes(), &chunk, &bytes[33..]].concat();
        refused(&animated, "animated");
    }
}
