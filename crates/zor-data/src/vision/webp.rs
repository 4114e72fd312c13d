//! Detection of incomplete WebP files by the lengths in their container.
//!
//! Source: Google, "WebP Container Specification",
//! <https://developers.google.com/speed/webp/docs/riff_container>.

/// Checks the chunks of a file and returns width and height. Bytes after the container are
/// accepted.
///
/// # Errors
/// When a length exceeds the file, or two sizes contradict each other.
pub(crate) fn check(bytes: &[u8]) -> Result<(u32, u32), String> {
    let cut = |claimed: usize| {
        format!(
            "it is cut short: its header declares {claimed} bytes, it has {}; download or copy it again",
            bytes.len()
        )
    };
    let length = number(bytes, 4, 4).ok_or_else(|| cut(12))? as usize;
    let end = length.saturating_add(8);
    let container = bytes.get(..end).ok_or_else(|| cut(end))?;
    let (mut at, mut canvas, mut picture) = (12, None, None);
    while at < container.len() {
        let beyond = || format!("its chunk at byte {at} extends beyond its end; it is damaged");
        let size = number(container, at + 4, 4).ok_or_else(beyond)? as usize;
        let start = at + 8;
        let stop = start.checked_add(size).ok_or_else(beyond)?;
        let part = container.get(start..stop).ok_or_else(beyond)?;
        let found = match &container[at..at + 4] {
            b"VP8X" => {
                canvas = pair(number(part, 4, 3), number(part, 7, 3)).map(|(w, h)| (w + 1, h + 1));
                None
            }
            b"VP8 " => pair(number(part, 6, 2), number(part, 8, 2))
                .map(|(width, height)| (width & 0x3fff, height & 0x3fff)),
            b"VP8L" => {
                number(part, 1, 4).map(|size| ((size & 0x3fff) + 1, (size >> 14 & 0x3fff) + 1))
            }
            _ => None,
        };
        picture = picture.or(found);
        // A chunk of odd size is padded by one byte, which some writers omit at the end.
        at = stop + size % 2;
    }
    match (canvas, picture) {
        (Some(canvas), Some(picture)) if canvas != picture => Err(format!(
            "its header declares {}x{} pixels, its picture has {}x{}; it is damaged",
            canvas.0, canvas.1, picture.0, picture.1
        )),
        // Frames of an animation are nested chunks, which are not read.
        (Some(size), _) | (None, Some(size)) => Ok(size),
        (None, None) => Err("there is no picture in it; it is damaged".to_owned()),
    }
}

fn pair(width: Option<u32>, height: Option<u32>) -> Option<(u32, u32)> {
    Some((width?, height?))
}

/// Reads a little-endian number of up to four bytes.
fn number(bytes: &[u8], at: usize, size: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(size)?)?;
    Some(bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | u32::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOSSY: &[u8] = include_bytes!("../../pictures/lossy.webp");

    fn with_length(length: usize) -> Vec<u8> {
        let mut bytes = LOSSY.to_vec();
        bytes[4..8].copy_from_slice(&(length as u32).to_le_bytes());
        bytes
    }

    #[test]
    fn a_length_that_disagrees_is_refused() {
        let length = LOSSY.len() - 8;
        assert_eq!(check(&with_length(length)), Ok((40, 36)));
        for (length, words) in [
            (length + 1, "cut short"),
            (u32::MAX as usize, "cut short"),
            (length - 2, "extends beyond its end"),
            (14, "extends beyond its end"),
            (4, "no picture in it"),
            (0, "no picture in it"),
        ] {
            let message = check(&with_length(length)).unwrap_err();
            assert!(message.contains(words), "{length}: {message}");
        }
        // The padding byte of a chunk may be absent at the end.
        let odd = [LOSSY, b"EXIF\x01\0\0\0x"].concat();
        let mut odd_length = odd.clone();
        odd_length[4..8].copy_from_slice(&(odd.len() as u32 - 8).to_le_bytes());
        assert_eq!(check(&odd_length), Ok((40, 36)));
    }
}
