//! NumPy arrays: the contents of `.npy` files.
//!
//! Format: `\x93NUMPY`, the version, the length of the header, the header (a Python dictionary in
//! ASCII), the values. Source: NumPy, "The NPY format" (`numpy.lib.format`).

/// First bytes of a file.
const MAGIC: &[u8] = b"\x93NUMPY";

/// An array whose values are not decoded.
#[derive(Debug, PartialEq)]
pub(crate) struct Array<'a> {
    /// Type of the values in NumPy's notation, such as `<f4`.
    pub(crate) kind: &'a str,
    /// Whether the first axis is contiguous, as in Fortran.
    pub(crate) is_fortran: bool,
    pub(crate) shape: Vec<usize>,
    pub(crate) values: &'a [u8],
    /// The header, for messages.
    pub(crate) header: &'a str,
}

impl<'a> Array<'a> {
    /// Parses the contents of a file. The number of values is not checked.
    ///
    /// # Errors
    /// When it is not an array. The message is the reason.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        let short = || "it ends inside its header".to_owned();
        if !bytes.starts_with(MAGIC) {
            return Err("it is not a .npy file: it does not start with \\x93NUMPY".to_owned());
        }
        let version = *bytes.get(MAGIC.len()).ok_or_else(short)?;
        // The length has two bytes in version 1, four in later versions.
        let width = if version == 1 { 2 } else { 4 };
        let start = MAGIC.len() + 2 + width;
        let length = bytes.get(MAGIC.len() + 2..start).ok_or_else(short)?;
        let length = length.iter().rev().fold(0usize, |sum, &byte| sum << 8 | usize::from(byte));
        let end = start.checked_add(length).ok_or_else(short)?;
        let header = bytes.get(start..end).ok_or_else(short)?;
        let header = std::str::from_utf8(header).map_err(|_| "its header is not text")?;
        let kind = after(header, "descr")?.trim_start_matches(['\'', '"']);
        let kind = kind.split(['\'', '"']).next().unwrap_or_default();
        let is_fortran = !after(header, "fortran_order")?.starts_with("False");
        let sizes = after(header, "shape")?.trim_start_matches('(');
        let sizes = sizes.split(')').next().unwrap_or_default();
        let sizes = sizes.split(',').map(str::trim).filter(|size| !size.is_empty());
        let header = header.trim_end();
        let shape = sizes.map(str::parse).collect::<Result<Vec<usize>, _>>();
        let shape =
            shape.map_err(|_| format!("its header is {header:?}, without a valid shape"))?;
        Ok(Self { kind, is_fortran, shape, values: &bytes[end..], header })
    }

    /// Decodes numbers of any type as `f64`, in row-major order.
    ///
    /// # Errors
    /// When the values are not numbers, or fewer or more than the shape has. The message is the
    /// reason and the remedy.
    pub(crate) fn numbers(&self) -> Result<Vec<f64>, String> {
        let (order, kind) = match self.kind.split_at_checked(1) {
            Some((order @ ("<" | ">" | "|" | "="), kind)) => (order, kind),
            _ => ("|", self.kind),
        };
        let decode: fn([u8; 8]) -> f64 = match kind {
            "f4" => |b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
            "f8" => f64::from_le_bytes,
            "b1" | "u1" => |b| f64::from(b[0]),
            "i1" => |b| f64::from(b[0] as i8),
            "u2" => |b| f64::from(u16::from_le_bytes([b[0], b[1]])),
            "i2" => |b| f64::from(i16::from_le_bytes([b[0], b[1]])),
            "u4" => |b| f64::from(u32::from_le_bytes([b[0], b[1], b[2], b[3]])),
            "i4" => |b| f64::from(i32::from_le_bytes([b[0], b[1], b[2], b[3]])),
            "u8" => |b| u64::from_le_bytes(b) as f64,
            "i8" => |b| i64::from_le_bytes(b) as f64,
            _ => {
                return Err(format!(
                    "its values have the type '{}'; save numbers, for example by array.astype('float32')",
                    self.kind
                ));
            }
        };
        let size: usize = kind[1..].parse().unwrap_or(1);
        let count = self.shape.iter().try_fold(1usize, |product, size| product.checked_mul(*size));
        let count = count.filter(|count| count.checked_mul(size) == Some(self.values.len()));
        let Some(count) = count else {
            return Err(format!(
                "it has {} bytes of values, but its header is {:?}",
                self.values.len(),
                self.header
            ));
        };
        let number = |index: usize| {
            let mut bytes = [0; 8];
            let place = size * index;
            bytes[..size].copy_from_slice(&self.values[place..place + size]);
            if order == ">" {
                bytes[..size].reverse();
            }
            decode(bytes)
        };
        Ok(match (self.is_fortran, &self.shape[..]) {
            (true, &[rows, columns]) => {
                (0..count).map(|index| number(index / columns + index % columns * rows)).collect()
            }
            (true, [_, _, _, ..]) => {
                return Err(
                    "it is in Fortran order; save numpy.ascontiguousarray(array)".to_owned()
                );
            }
            _ => (0..count).map(number).collect(),
        })
    }
}

/// Returns the header from the value of a key on.
fn after<'a>(header: &'a str, key: &str) -> Result<&'a str, String> {
    let quoted = [format!("'{key}'"), format!("\"{key}\"")];
    let at = quoted.iter().find_map(|key| header.find(key).map(|at| at + key.len()));
    let value = at.and_then(|at| header[at..].trim_start().strip_prefix(':'));
    value.map(str::trim_start).ok_or_else(|| format!("its header has no {key}"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The bytes that NumPy 2 writes for an array with this header.
    pub(crate) fn file(header: &str, values: &[u8]) -> Vec<u8> {
        let mut header = header.to_owned();
        header += &" ".repeat(63 - (header.len() + 10) % 64);
        header.push('\n');
        let length = (header.len() as u16).to_le_bytes();
        [MAGIC, &[1, 0], &length, header.as_bytes(), values].concat()
    }

    pub(crate) fn header(kind: &str, order: &str, shape: &str) -> String {
        format!("{{'descr': '{kind}', 'fortran_order': {order}, 'shape': {shape}, }}")
    }

    fn numbers(kind: &str, order: &str, shape: &str, values: &[u8]) -> Result<Vec<f64>, String> {
        Array::parse(&file(&header(kind, order, shape), values))?.numbers()
    }

    #[test]
    fn numbers_of_any_type_and_order_are_decoded() {
        for (kind, values) in [
            ("<f4", &(-1.5f32).to_le_bytes()[..]),
            (">f4", &(-1.5f32).to_be_bytes()),
            ("<f8", &(-1.5f64).to_le_bytes()),
            (">f8", &(-1.5f64).to_be_bytes()),
        ] {
            assert_eq!(numbers(kind, "False", "(1,)", values), Ok(vec![-1.5]), "{kind}");
        }
        for (kind, values) in [
            ("|i1", &[0xfe][..]),
            ("<i2", &[0xfe, 0xff]),
            (">i4", &[0xff, 0xff, 0xff, 0xfe]),
            ("<i8", &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ] {
            assert_eq!(numbers(kind, "False", "()", values), Ok(vec![-2.0]), "{kind}");
        }
        assert_eq!(numbers("|b1", "False", "(2,)", &[0, 1]), Ok(vec![0.0, 1.0]));
        assert_eq!(numbers(">u2", "False", "(2,)", &[1, 0, 0, 2]), Ok(vec![256.0, 2.0]));
        let (rows, columns) = ([0, 1, 2, 3, 4, 5], [0, 3, 1, 4, 2, 5]);
        let expected = numbers("|u1", "False", "(2, 3)", &rows);
        assert_eq!(numbers("|u1", "True", "(2, 3)", &columns), expected);
    }

    #[test]
    fn other_arrays_are_refused() {
        let refused = |found: Result<Vec<f64>, String>, words: &str| {
            let message = found.unwrap_err();
            assert!(message.contains(words), "{message}");
        };
        refused(numbers("<U3", "False", "(1,)", &[0; 12]), "'<U3'; save numbers");
        refused(numbers("|O", "False", "(1,)", &[0; 8]), "'|O'; save numbers");
        refused(numbers("<f4", "False", "(2,)", &[0; 4]), "it has 4 bytes of values");
        refused(numbers("<f4", "True", "(1, 1, 1)", &[0; 4]), "ascontiguousarray");
        refused(numbers("<f4", "False", "(-1,)", &[0; 4]), "without a valid shape");
        let huge = format!("({0}, {0})", usize::MAX);
        refused(numbers("<f4", "False", &huge, &[0; 4]), "it has 4 bytes of values");
        for kind in ["", "f", "<", "\u{e9}"] {
            refused(numbers(kind, "False", "(1,)", &[0; 4]), "save numbers");
        }
        let whole = file(&header("<f4", "False", "(1,)"), &[0; 4]);
        for length in 0..whole.len() {
            let array = Array::parse(&whole[..length]);
            assert!(array.and_then(|array| array.numbers()).is_err(), "{length}");
        }
    }
}
