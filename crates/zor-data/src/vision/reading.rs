//! Settings for reading pictures as images of one size: resize, crop, skip.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Maximum width and height.
const MAX_SIDE: usize = 65_536;

/// Settings for reading pictures of different sizes as images of one size.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reading {
    /// Size that each picture is scaled to, whatever its aspect ratio.
    ///
    /// Linear interpolation (a triangle filter) of the stored values, without gamma correction.
    /// When a picture shrinks, the filter is as wide as a pixel of the result, which prevents
    /// aliasing.
    pub resize: Option<Size>,
    /// Size of the centre crop, which follows the resize.
    pub crop: Option<Size>,
    /// Skips damaged pictures, and reports their number in the notes.
    ///
    /// A picture is damaged if its file can be read but not decoded: it is empty, cut short, of an
    /// unsupported kind or too large.
    pub skip_damaged: bool,
}

/// Width and height in pixels, written as `32x24`. A single number is a square.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Size {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
}

impl Size {
    /// Returns a size whose sides are in range.
    fn checked(width: usize, height: usize) -> Result<Self> {
        match width.min(height) {
            0 => Err(Error::input("a size is WIDTHxHEIGHT, both at least 1, such as 32x24")),
            _ if width.max(height) > MAX_SIDE => Err(Error::input(format!(
                "a size is WIDTHxHEIGHT, both at most {MAX_SIDE}, such as 32x24"
            ))),
            _ => Ok(Self { width, height }),
        }
    }
}

impl FromStr for Size {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        // Text that is not a number becomes 0, and a number that overflows `usize::MAX`; both are
        // out of range.
        let side = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true if !text.is_empty() => text.parse().unwrap_or(usize::MAX),
            _ => 0,
        };
        let (width, height) = text.split_once('x').unwrap_or((text, text));
        Self::checked(side(width), side(height))
    }
}

impl TryFrom<String> for Size {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Size> for String {
    fn from(size: Size) -> Self {
        size.to_string()
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

#[cfg(feature = "images")]
impl Reading {
    /// Resizes and crops a picture. The path is for messages.
    ///
    /// # Errors
    /// When the picture is smaller than the crop, or a size has no pixels or too many. The message
    /// names the file.
    pub fn apply(
        &self,
        mut picture: crate::Picture,
        path: &std::path::Path,
    ) -> Result<crate::Picture> {
        let named = |message: String| Error::in_file(path, message);
        for size in [self.resize, self.crop].into_iter().flatten() {
            Size::checked(size.width, size.height).map_err(|error| named(error.to_string()))?;
        }
        if let Some(size) = self.resize {
            picture = picture.resized(size).map_err(named)?;
        }
        if let Some(size) = self.crop {
            let shape = picture.shape();
            if shape.width < size.width || shape.height < size.height {
                let (width, height) = (shape.width, shape.height);
                let once = if self.resize.is_some() { " once resized" } else { "" };
                return Err(named(format!(
                    "it is {width}x{height}{once}, smaller than the crop of {size}; make the crop \
                     smaller, or resize to a larger size first"
                )));
            }
            picture = picture.cropped(size);
        }
        Ok(picture)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(text: &str) -> Size {
        text.parse().unwrap()
    }

    #[test]
    fn sizes_are_read_and_written_as_width_and_height() {
        assert_eq!(size("32x24"), Size { width: 32, height: 24 });
        assert_eq!(size("32"), Size { width: 32, height: 32 });
        assert_eq!(size("1x65536").to_string(), "1x65536");
        for text in ["32x24", "7x7"] {
            assert_eq!(size(text).to_string(), text);
        }
    }

    #[test]
    fn other_sizes_are_refused_with_an_example() {
        for text in ["32x0", "0", "", "x", "32x", "-1x2", "+1x2", "3 x 4", "3x4x5", "a", "32X24"] {
            let message = text.parse::<Size>().unwrap_err().to_string();
            let expected = "a size is WIDTHxHEIGHT, both at least 1, such as 32x24";
            assert_eq!(message, expected, "{text}");
        }
        for text in ["65537", "1x65537", "99999999999999999999999x1"] {
            let message = text.parse::<Size>().unwrap_err().to_string();
            assert!(message.contains("at most 65536"), "{text}: {message}");
        }
    }

    #[test]
    fn readings_are_stored_with_their_sizes_as_text() {
        let text = r#"{"resize":"32x24","crop":"24x24","skip_damaged":true}"#;
        let reading: Reading = serde_json::from_str(text).unwrap();
        let expected =
            Reading { resize: Some(size("32x24")), crop: Some(size("24")), skip_damaged: true };
        assert_eq!(reading, expected);
        assert_eq!(serde_json::to_string(&reading).unwrap(), text);
        assert_eq!(serde_json::from_str::<Reading>("{}").unwrap(), Reading::default());
        for wrong in [r#"{"resize":"32x0"}"#, r#"{"size":"32"}"#] {
            assert!(serde_json::from_str::<Reading>(wrong).is_err());
        }
    }

    #[cfg(feature = "images")]
    mod pictures {
        use super::*;
        use crate::Picture;
        use image::{GrayImage, Luma};
        use std::path::Path;

        /// A picture whose values rise to the right and downwards, read from a file.
        fn gradient(width: u32, height: u32) -> Picture {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("gradient.png");
            let value = |x, y| Luma([(3 * x + 2 * y) as u8]);
            GrayImage::from_fn(width, height, value).save(&path).unwrap();
            Picture::read(&path).unwrap()
        }

        fn apply(reading: &Reading, picture: Picture) -> Result<Picture> {
            reading.apply(picture, Path::new("a.png"))
        }

        fn mean(picture: &Picture) -> f64 {
            let sum: f64 = picture.values().iter().map(|&value| f64::from(value)).sum();
            sum / picture.values().len() as f64
        }

        #[test]
        fn a_halved_gradient_keeps_its_mean() {
            let picture = gradient(40, 30);
            let reading = Reading { resize: Some(size("20x15")), ..Reading::default() };
            let half = apply(&reading, picture.clone()).unwrap();
            assert_eq!((half.shape().width, half.shape().height), (20, 15));
            assert!((mean(&half) - mean(&picture)).abs() < 1.0);
            // Away from the borders, the mean of four values.
            let value =
                |picture: &Picture, x, y| picture.values()[y * picture.shape().width + x] as f64;
            assert!((value(&half, 7, 5) - (value(&picture, 14, 10) + 2.5)).abs() <= 1.0);
        }

        #[test]
        fn lines_finer_than_the_result_do_not_alias() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("lines.png");
            let value = |x, _| Luma([255 * (x % 2) as u8]);
            GrayImage::from_fn(64, 8, value).save(&path).unwrap();
            let reading = Reading { resize: Some(size("8x8")), ..Reading::default() };
            let picture = apply(&reading, Picture::read(&path).unwrap()).unwrap();
            assert!(picture.values().iter().all(|&value| (120..136).contains(&value)));
        }

        #[test]
        fn a_crop_is_the_centre() {
            let reading = Reading { crop: Some(size("2x3")), ..Reading::default() };
            let picture = apply(&reading, gradient(5, 5)).unwrap();
            assert_eq!((picture.shape().width, picture.shape().height), (2, 3));
            assert_eq!(picture.values(), [5, 8, 7, 10, 9, 12]);
            let whole = Reading { crop: Some(size("5")), ..Reading::default() };
            assert_eq!(apply(&whole, gradient(5, 5)).unwrap(), gradient(5, 5));
        }

        #[test]
        fn a_crop_comes_after_resizing() {
            let reading = Reading {
                resize: Some(size("10x6")),
                crop: Some(size("4x6")),
                ..Reading::default()
            };
            let shape = apply(&reading, gradient(3, 3)).unwrap().shape();
            assert_eq!((shape.width, shape.height), (4, 6));
        }

        #[test]
        fn crops_larger_than_the_picture_are_refused_with_both_sizes() {
            let crop = Some(size("32x4"));
            let message = |resize| {
                let reading = Reading { resize, crop, ..Reading::default() };
                apply(&reading, gradient(10, 8)).unwrap_err().to_string()
            };
            assert_eq!(
                message(None),
                "a.png: it is 10x8, smaller than the crop of 32x4; make the crop smaller, or \
                 resize to a larger size first"
            );
            assert!(message(Some(size("31x4"))).contains("31x4 once resized, smaller than"));
        }

        #[test]
        fn sizes_without_pixels_or_with_too_many_are_refused() {
            let nothing = Some(Size { width: 4, height: 0 });
            let readings = [
                (Reading { resize: nothing, ..Reading::default() }, "a.png: a size is WIDTH"),
                (Reading { crop: nothing, ..Reading::default() }, "a.png: a size is WIDTH"),
                (
                    Reading { resize: Some(size("65536")), ..Reading::default() },
                    "a.png: it would become 65536x65536, which takes 4.3 GB of memory",
                ),
            ];
            for (reading, words) in readings {
                let message = apply(&reading, gradient(2, 2)).unwrap_err().to_string();
                assert!(message.contains(words), "{message}");
            }
        }
    }
}
