//! Decoding of image files: PNG, JPEG and WebP with 8 bits per value.
//!
//! Files whose decoding would lose information (16 bits, CMYK, transparency, animation) are an
//! error with a remedy. So are damaged and incomplete files of every format, and headers that
//! declare more pixels than the file can contain.

use std::io::Cursor;
use std::path::Path;

use image::codecs::{jpeg::JpegDecoder, webp::WebPDecoder};
use image::imageops::FilterType;
use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageDecoder, ImageFormat, RgbImage};

use super::{jpeg, webp};
use crate::error::{Error, Result, in_words, memory};
use crate::file;
use crate::vision::images::ImageShape;
use crate::vision::reading::Size;

/// Remedy for unsupported files: `convert -colorspace sRGB -depth 8 ...` or any image editor.
const REMEDY: &str = "convert it to 8-bit RGB or grey PNG";
/// Maximum size of a picture, in pixels.
const MAX_PIXELS: u64 = 1 << 28;
/// Up to this number of pixels, the size is not checked against the length of the file.
const FREE_PIXELS: u64 = 1 << 24;
/// Maximum number of pixels per byte of a larger picture: the highest compression ratio of deflate,
/// twice that of JPEG.
const PIXELS_PER_BYTE: u64 = 1032;
/// Bytes per pixel between the two passes of resizing: four `f32`.
const RESIZING_BYTES: u64 = 16;

/// An image in memory, grey (one channel) or in colour (three).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    shape: ImageShape,
    values: Vec<u8>,
}

impl Picture {
    /// Reads a file. Its format is detected from its contents, and its Exif orientation is applied.
    ///
    /// # Errors
    /// When the file does not exist, is not PNG, JPEG or WebP, is damaged or cut short, has more
    /// pixels than fit in memory, or has 16 bits per value, CMYK, transparent pixels or several
    /// frames. The message names it.
    pub fn read(path: &Path) -> Result<Self> {
        Self::attempt(path)?.map_err(|reason| Error::in_file(path, reason))
    }

    /// Reads a file like [`Picture::read`]. The outer error is that of the file system; the inner
    /// one is the reason why the file cannot be decoded.
    pub(crate) fn attempt(path: &Path) -> Result<std::result::Result<Self, String>> {
        Ok(Self::decode(&file::read(path)?))
    }

    /// Size and number of channels.
    pub fn shape(&self) -> ImageShape {
        self.shape
    }

    /// Values, `[height, width, channels]`.
    pub fn values(&self) -> &[u8] {
        &self.values
    }

    /// Converts a grey picture to RGB by repeating each value. A picture in colour is unchanged.
    #[must_use]
    pub fn into_rgb(self) -> Self {
        if self.shape.channels == 3 {
            return self;
        }
        let values = self.values.iter().flat_map(|&value| [value; 3]).collect();
        Self { shape: ImageShape { channels: 3, ..self.shape }, values }
    }

    /// Scales to a size by linear interpolation.
    ///
    /// # Errors
    /// When the result has too many pixels, or the allocation fails.
    pub(crate) fn resized(self, size: Size) -> std::result::Result<Self, String> {
        let ImageShape { width, height, channels } = self.shape;
        if (width, height) == (size.width, size.height) {
            return Ok(self);
        }
        let pixels = size.width as u64 * size.height as u64;
        if pixels > MAX_PIXELS {
            let needed = in_words(u128::from(pixels) * channels as u128);
            return Err(format!(
                "it would become {size}, which takes {needed} of memory; the maximum is {MAX_PIXELS} \
                 pixels: resize to a smaller size"
            ));
        }
        // Rows are resized first. The library aborts if an allocation fails, so it is tested here.
        let between = (width as u64 * size.height as u64).saturating_mul(RESIZING_BYTES);
        let needed = between.saturating_add(pixels * channels as u64);
        memory::<u8>(usize::try_from(needed).unwrap_or(usize::MAX))
            .map_err(|error| format!("resized to {size}: {error}; resize to a smaller size"))?;
        let image = image(width as u32, height as u32, channels, self.values)?;
        let image = image.resize_exact(size.width as u32, size.height as u32, FilterType::Triangle);
        let shape = ImageShape { width: size.width, height: size.height, channels };
        Ok(Self { shape, values: image.into_bytes() })
    }

    /// Crops the centre, up to half a pixel. The size is at most that of the picture.
    pub(crate) fn cropped(mut self, size: Size) -> Self {
        let ImageShape { width, height, channels } = self.shape;
        let (left, top) = ((width - size.width) / 2, (height - size.height) / 2);
        let length = size.width * channels;
        for row in 0..size.height {
            let start = ((top + row) * width + left) * channels;
            self.values.copy_within(start..start + length, row * length);
        }
        self.values.truncate(size.height * length);
        self.values.shrink_to_fit();
        self.shape = ImageShape { width: size.width, height: size.height, channels };
        self
    }

    fn decode(bytes: &[u8]) -> std::result::Result<Self, String> {
        if bytes.is_empty() {
            return Err("it is empty; download or copy it again".to_owned());
        }
        match image::guess_format(bytes) {
            Ok(ImageFormat::Png) => Self::png(bytes),
            Ok(ImageFormat::Jpeg) => {
                // A progressive decoder also stores all coefficients, two bytes each.
                jpeg::check(bytes, |width, height, held| {
                    check_size(width, height, bytes.len(), if held { 9 } else { 3 })
                })?;
                Self::decoded(JpegDecoder::new(Cursor::new(bytes)).map_err(unreadable)?)
            }
            Ok(ImageFormat::WebP) => {
                let (width, height) = webp::check(bytes)?;
                check_size(width, height, bytes.len(), 8)?;
                let decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(unreadable)?;
                if decoder.has_animation() {
                    return Err(animated());
                }
                Self::decoded(decoder)
            }
            _ => Err(format!("it is not a PNG, JPEG or WebP file; {REMEDY}")),
        }
    }

    /// Decodes a PNG: verifies all checksums and reads up to the end chunk. Text and profiles,
    /// which may be compressed, are not decompressed.
    fn png(bytes: &[u8]) -> std::result::Result<Self, String> {
        let mut options = png::DecodeOptions::default();
        options.set_ignore_checksums(false);
        options.set_skip_ancillary_crc_failures(false);
        options.set_ignore_text_chunk(true);
        options.set_ignore_iccp_chunk(true);
        let mut decoder = png::Decoder::new_with_options(Cursor::new(bytes), options);
        decoder.set_transformations(png::Transformations::EXPAND);
        let (width, height) = decoder.read_header_info().map_err(unreadable)?.size();
        check_size(width, height, bytes.len(), 4)?;
        let mut reader = decoder.read_info().map_err(unreadable)?;
        if reader.info().animation_control.is_some() {
            return Err(animated());
        }
        let (color, depth) = reader.output_color_type();
        if depth != png::BitDepth::Eight {
            return Err(deep());
        }
        let size = reader.output_buffer_size().unwrap_or(usize::MAX);
        let mut values = memory(size)?;
        values.resize(size, 0);
        reader.next_frame(&mut values).map_err(unreadable)?;
        reader.finish().map_err(unreadable)?;
        let exif = reader.info().exif_metadata.as_deref();
        let orientation = exif.and_then(Orientation::from_exif_chunk);
        let orientation = orientation.unwrap_or(Orientation::NoTransforms);
        Self::upright(width, height, color.samples(), values, orientation)
    }

    fn decoded(mut decoder: impl ImageDecoder) -> std::result::Result<Self, String> {
        let color = decoder.color_type();
        if color.bytes_per_pixel() != color.channel_count() {
            return Err(deep());
        }
        let orientation = decoder.orientation().map_err(unreadable)?;
        let (width, height) = decoder.dimensions();
        let size = usize::try_from(decoder.total_bytes()).unwrap_or(usize::MAX);
        let mut values = memory(size)?;
        values.resize(size, 0);
        decoder.read_image(&mut values).map_err(unreadable)?;
        Self::upright(width, height, color.channel_count().into(), values, orientation)
    }

    /// Drops the alpha channel, which must be opaque, and applies the orientation.
    fn upright(
        width: u32,
        height: u32,
        channels: usize,
        mut values: Vec<u8>,
        orientation: Orientation,
    ) -> std::result::Result<Self, String> {
        if let 2 | 4 = channels {
            if values.chunks_exact(channels).any(|pixel| pixel[channels - 1] != 255) {
                return Err(
                    "it has transparent pixels; flatten it onto a background first".to_owned()
                );
            }
            let mut at = 0;
            values.retain(|_| {
                at += 1;
                at % channels != 0
            });
        }
        let channels = channels - (channels + 1) % 2;
        let mut image = image(width, height, channels, values)?;
        image.apply_orientation(orientation);
        let (height, width) = (image.height() as usize, image.width() as usize);
        Ok(Self { shape: ImageShape { height, width, channels }, values: image.into_bytes() })
    }
}

/// Converts values to an image of the library, grey or RGB.
fn image(
    width: u32,
    height: u32,
    channels: usize,
    values: Vec<u8>,
) -> std::result::Result<DynamicImage, String> {
    let image = match channels {
        1 => GrayImage::from_raw(width, height, values).map(DynamicImage::ImageLuma8),
        _ => RgbImage::from_raw(width, height, values).map(DynamicImage::ImageRgb8),
    };
    image.ok_or_else(|| "its number of pixels differs from its header".to_owned())
}

fn unreadable(error: impl std::fmt::Display) -> String {
    format!("it is damaged, cut short or of an unsupported kind: {error}")
}

fn animated() -> String {
    "it is animated; save a single frame as PNG".to_owned()
}

fn deep() -> String {
    format!("it has more than 8 bits per value; {REMEDY}")
}

/// Checks that a size is not too large, before memory is allocated. `bytes_per_pixel` covers the
/// picture and its decoder.
fn check_size(
    width: u32,
    height: u32,
    length: usize,
    bytes_per_pixel: u64,
) -> std::result::Result<(), String> {
    let pixels = u64::from(width) * u64::from(height);
    let needed = in_words(u128::from(pixels) * u128::from(bytes_per_pixel));
    if pixels > MAX_PIXELS {
        return Err(format!(
            "it is {width}x{height}, which takes {needed} of memory; the maximum is {MAX_PIXELS} pixels: make it smaller"
        ));
    }
    if pixels > FREE_PIXELS && pixels / PIXELS_PER_BYTE > length as u64 {
        return Err(format!(
            "its header declares {width}x{height}, which takes {needed} of memory, but {length} bytes cannot contain a picture of \
             that size; it is damaged or malicious"
        ));
    }
    // The decoders abort if an allocation fails, so it is tested here.
    let size = usize::try_from(pixels.saturating_mul(bytes_per_pixel)).unwrap_or(usize::MAX);
    memory::<u8>(size)
        .map(drop)
        .map_err(|error| format!("it is {width}x{height}: {error}; make it smaller"))
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
        // Dropping an opaque alpha channel loses nothing.
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

    /// Small pictures of noise, whose data are longer than their headers.
    const FILES: [(&str, &[u8]); 9] = [
        ("grey.jpg", include_bytes!("../../pictures/grey.jpg")),
        ("colour.jpg", include_bytes!("../../pictures/colour.jpg")),
        ("progressive.jpg", include_bytes!("../../pictures/progressive.jpg")),
        ("restarts.jpg", include_bytes!("../../pictures/restarts.jpg")),
        ("plain.png", include_bytes!("../../pictures/plain.png")),
        ("interlaced.png", include_bytes!("../../pictures/interlaced.png")),
        ("lossless.webp", include_bytes!("../../pictures/lossless.webp")),
        ("lossy.webp", include_bytes!("../../pictures/lossy.webp")),
        ("extended.webp", include_bytes!("../../pictures/extended.webp")),
    ];

    fn named(name: &str) -> &'static [u8] {
        FILES.iter().find(|(other, _)| *other == name).unwrap().1
    }

    #[test]
    fn every_kind_of_file_is_read() {
        for (name, bytes) in FILES {
            let picture = Picture::decode(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
            let size = (picture.shape().width, picture.shape().height);
            let expected = match name {
                // Its metadata rotate it by 90 degrees.
                "extended.webp" => (36, 40),
                "lossless.webp" | "plain.png" | "interlaced.png" => (18, 14),
                _ => (40, 36),
            };
            assert_eq!(size, expected, "{name}");
            assert_eq!(picture.shape().channels, if name == "grey.jpg" { 1 } else { 3 }, "{name}");
        }
        let same = ["plain.png", "interlaced.png", "lossless.webp"]
            .map(|name| Picture::decode(named(name)));
        assert!(same[0] == same[1] && same[1] == same[2]);
    }

    #[test]
    fn a_file_cut_anywhere_is_refused() {
        for (name, bytes) in FILES {
            for length in 0..bytes.len() {
                assert!(Picture::decode(&bytes[..length]).is_err(), "{name}, {length}");
            }
        }
    }

    #[test]
    fn a_jpeg_whose_scan_ends_early_is_refused_although_its_end_marker_is_there() {
        for (name, bytes) in &FILES[..4] {
            let scan = bytes.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
            for length in scan..bytes.len() - 3 {
                let cut = [&bytes[..length], &[0xff, 0xd9]].concat();
                assert!(Picture::decode(&cut).is_err(), "{name}, {length} of {}", bytes.len());
            }
            let hole = scan + (bytes.len() - scan) / 2;
            let zeros = [&bytes[..hole], &vec![0; bytes.len() - hole][..]].concat();
            refused(&zeros, "download or copy it again");
        }
    }

    #[test]
    fn a_changed_byte_is_noticed_in_png_and_does_no_harm_elsewhere() {
        for (name, bytes) in FILES {
            let is_png = name.ends_with("png");
            for at in (0..bytes.len()).step_by(if is_png { 1 } else { 7 }) {
                let mut changed = bytes.to_vec();
                changed[at] ^= 1 << (at % 8);
                let result = Picture::decode(&changed);
                assert!(!is_png || result.is_err(), "{name}, {at}");
            }
        }
    }

    #[test]
    fn bytes_behind_the_end_are_accepted() {
        for (name, bytes) in FILES {
            for tail in [&[0; 700][..], b"ftypmp42 a short video", bytes, &[0xff; 3]] {
                let picture = Picture::decode(&[bytes, tail].concat());
                assert_eq!(picture, Picture::decode(bytes), "{name}");
            }
        }
    }

    #[test]
    fn a_wrong_adler_checksum_is_refused() {
        let mut bytes = named("plain.png").to_vec();
        let end = bytes.len() - 16;
        bytes[end - 1] ^= 1;
        let start = bytes.windows(4).position(|name| name == b"IDAT").unwrap();
        let mut crc = flate2::Crc::new();
        crc.update(&bytes[start..end]);
        bytes[end..end + 4].copy_from_slice(&crc.sum().to_be_bytes());
        refused(&bytes, "damaged");
    }

    #[test]
    fn something_else_is_refused() {
        refused(b"GIF89a nothing", "not a PNG, JPEG or WebP file");
        refused(b"", "it is empty");
    }

    /// Encodes a chunk of a PNG.
    fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let mut crc = flate2::Crc::new();
        crc.update(name);
        crc.update(body);
        let length = (body.len() as u32).to_be_bytes();
        [&length, &name[..], body, &crc.sum().to_be_bytes()].concat()
    }

    /// Encodes a grey PNG from compressed data, with another chunk before them.
    fn png(width: u32, height: u32, other: &[u8], data: &[u8]) -> Vec<u8> {
        let header = [&width.to_be_bytes(), &height.to_be_bytes(), &[8, 0, 0, 0, 0][..]].concat();
        let parts =
            [chunk(b"IHDR", &header), other.to_vec(), chunk(b"IDAT", data), chunk(b"IEND", b"")];
        [&b"\x89PNG\r\n\x1a\n"[..], &parts.concat()].concat()
    }

    fn zeros(size: usize) -> Vec<u8> {
        use std::io::Write;
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![0; size]).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn sizes_beyond_all_memory_are_refused_in_every_format() {
        let refused = |bytes: &[u8], size: &str| {
            refused(bytes, size);
            refused(bytes, " of memory");
        };
        refused(&png(100_000, 100_000, b"", &zeros(1000)), "100000x100000");
        refused(&png(u32::MAX >> 1, u32::MAX >> 1, b"", &zeros(1000)), "2147483647x2147483647");
        // Below the limit, but with too little data.
        refused(&png(16_000, 16_000, b"", &zeros(1000)), "16000x16000");
        for name in ["grey.jpg", "colour.jpg", "progressive.jpg"] {
            let mut bytes = named(name).to_vec();
            let frame =
                bytes.windows(2).position(|two| two[0] == 0xff && (0xc0..0xc3).contains(&two[1]));
            let frame = frame.unwrap();
            bytes[frame + 5..frame + 9].copy_from_slice(&[0xff; 4]);
            refused(&bytes, "65535x65535");
            bytes[frame + 5..frame + 9].copy_from_slice(&[0x30, 0, 0x30, 0]);
            refused(&bytes, "12288x12288");
        }
        let mut bytes = named("lossy.webp").to_vec();
        bytes[26..30].copy_from_slice(&[0xff; 4]);
        refused(&bytes, "16383x16383");
        let mut bytes = named("lossless.webp").to_vec();
        bytes[21..25].copy_from_slice(&[0xfe, 0xff, 0xff, 0x0f]);
        refused(&bytes, "16383x16384");
        // The sizes of canvas and picture differ.
        let mut bytes = named("extended.webp").to_vec();
        let picture = bytes.windows(4).position(|name| name == b"VP8 ").unwrap();
        bytes[picture + 14..picture + 18].copy_from_slice(&[0xff; 4]);
        let message = Picture::decode(&bytes).unwrap_err();
        assert!(message.contains("40x36") && message.contains("16383x16383"), "{message}");
    }

    #[test]
    fn compressed_texts_and_profiles_are_not_unpacked() {
        let bomb = zeros(1 << 20);
        let text = [b"Comment\0\0", &bomb[..]].concat();
        for name in [b"zTXt", b"iCCP"] {
            let bytes = png(2, 2, &chunk(name, &text).repeat(9), &zeros(6));
            assert_eq!(Picture::decode(&bytes).unwrap().values(), [0; 4]);
        }
    }

    /// A JPEG whose frame header declares four components.
    #[test]
    fn cmyk_is_refused() {
        let mut bytes = file(&DynamicImage::ImageRgb8(gradient()), ImageFormat::Jpeg);
        let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        bytes[frame + 9] = 4;
        refused(&bytes, "CMYK");
    }

    /// An animation control chunk makes a PNG animated.
    #[test]
    fn animations_are_refused() {
        let bytes = file(&DynamicImage::ImageRgb8(gradient()), ImageFormat::Png);
        // Two frames, repeated forever; after the header chunk, which ends at byte 33.
        let mut chunk = b"acTL\0\0\0\x02\0\0\0\0".to_vec();
        let mut crc = flate2::Crc::new();
        crc.update(&chunk);
        chunk.extend(crc.sum().to_be_bytes());
        let animated = [&bytes[..33], &8u32.to_be_bytes(), &chunk, &bytes[33..]].concat();
        refused(&animated, "animated");
    }
}
