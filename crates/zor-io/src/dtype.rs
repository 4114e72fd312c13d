//! Types of tensor values in files. In memory values are f32.

use half::{bf16, f16};
use serde::{Deserialize, Serialize};

/// The type of a tensor's values in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// IEEE single precision, the type in training.
    #[default]
    F32,
    /// IEEE half precision: 11 significant bits up to 65,504.
    F16,
    /// The upper half of single precision: 8 significant bits, the same range.
    Bf16,
    /// Integers from -127 to 127 times a scale per column: 8 bits per value and 4 bytes per column.
    I8,
}

impl DType {
    /// All types.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::Bf16, Self::I8];

    /// Returns the name, such as `bf16`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::I8 => "int8",
        }
    }

    /// Returns the size of a tensor in bytes, or `None` if it overflows.
    pub(crate) fn size(self, [rows, columns]: [usize; 2]) -> Option<usize> {
        let values = rows.checked_mul(columns)?;
        match self {
            Self::F32 => values.checked_mul(4),
            Self::F16 | Self::Bf16 => values.checked_mul(2),
            Self::I8 => values.checked_add(columns.checked_mul(4)?),
        }
    }

    /// Appends the values of a matrix with this number of columns. f32 stores any value, NaN and
    /// infinity included.
    ///
    /// # Errors
    /// When a value is not finite, or too large for the type.
    pub(crate) fn write(
        self,
        values: &[f32],
        columns: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let name = self.name();
        if self != Self::F32
            && let Some((at, value)) = values.iter().enumerate().find(|(_, v)| !v.is_finite())
        {
            return Err(format!(
                "value {at} is {value}, not a finite number; {name} stores finite numbers only; save as f32"
            ));
        }
        let beyond = |value| format!("{value} is beyond the range of {name}; save it as f32");
        match self {
            Self::F32 => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
            Self::F16 => {
                for value in values {
                    let narrow = f16::from_f32(*value);
                    if narrow.is_infinite() {
                        return Err(format!("{} or bf16", beyond(*value)));
                    }
                    out.extend(narrow.to_le_bytes());
                }
            }
            Self::Bf16 => {
                for value in values {
                    let narrow = bf16::from_f32(*value);
                    if narrow.is_infinite() {
                        return Err(beyond(*value));
                    }
                    out.extend(narrow.to_le_bytes());
                }
            }
            Self::I8 => {
                let scales: Vec<f32> = (0..columns).map(|at| scale(values, columns, at)).collect();
                out.extend(scales.iter().flat_map(|scale| scale.to_le_bytes()));
                for row in values.chunks_exact(columns.max(1)) {
                    out.extend(row.iter().zip(&scales).map(|(value, scale)| {
                        // Beyond ±127 only by the rounding of the scale.
                        (value / scale).round().clamp(-127.0, 127.0) as i8 as u8
                    }));
                }
            }
        }
        Ok(())
    }

    /// Reads the values of a matrix from bytes of the right length.
    pub(crate) fn read(self, bytes: &[u8], columns: usize) -> Vec<f32> {
        let pairs = || bytes.as_chunks::<2>().0.iter();
        match self {
            Self::F32 => bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Self::F16 => pairs().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
            Self::Bf16 => pairs().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
            Self::I8 => {
                let (scales, values) = bytes.split_at(4 * columns);
                let scales = Self::F32.read(scales, columns);
                let scaled = values.iter().zip(scales.iter().cycle());
                scaled.map(|(value, scale)| f32::from(*value as i8) * scale).collect()
            }
        }
    }
}

/// Returns the scale of a column, whose largest magnitude becomes 127. The scale has 16 significant
/// bits, so that 127 times it is exact and a file that was read is written again bit for bit.
fn scale(values: &[f32], columns: usize, at: usize) -> f32 {
    let column = values[at..].iter().step_by(columns);
    let largest = column.fold(0.0f32, |largest, value| largest.max(value.abs()));
    let bits = (largest / 127.0).to_bits();
    let rounded = f32::from_bits((bits + 0x80) & !0xff);
    match rounded {
        // Too small for 16 significant bits: all values become zero.
        _ if rounded < f32::MIN_POSITIVE => 1.0,
        _ if 127.0 * rounded == f32::INFINITY => f32::from_bits(bits & !0xff),
        _ => rounded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zor_core::Random;

    fn written(dtype: DType, values: &[f32], columns: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        dtype.write(values, columns, &mut bytes).unwrap();
        assert_eq!(Some(bytes.len()), dtype.size([values.len() / columns, columns]));
        bytes
    }

    #[test]
    fn values_come_back_as_exactly_as_the_type_allows() {
        let mut random = Random::seeded(1);
        let values: Vec<f32> = (0..6000).map(|_| random.normal()).collect();
        let errors = [(DType::F32, 0.0), (DType::F16, 5e-4), (DType::Bf16, 4e-3)];
        for (dtype, most) in errors {
            let read = dtype.read(&written(dtype, &values, 5), 5);
            for (value, read) in values.iter().zip(read) {
                assert!((value - read).abs() <= most * value.abs(), "{dtype:?}: {value}, {read}");
            }
        }
        let read = DType::I8.read(&written(DType::I8, &values, 5), 5);
        for (value, read) in values.iter().zip(read) {
            assert!((value - read).abs() <= 0.51 * 5.0 / 127.0, "{value}, {read}");
        }
    }

    #[test]
    fn what_was_read_is_written_again_bit_for_bit() {
        let mut random = Random::seeded(2);
        for dtype in DType::ALL {
            for scale in [1e-30f32, 1e-3, 1.0, 40_000.0] {
                let most = if dtype == DType::F16 { 1.0f32 } else { 1e9 };
                let values: Vec<f32> =
                    (0..4000).map(|_| scale.min(most) * random.normal()).collect();
                let once = written(dtype, &values, 8);
                assert_eq!(written(dtype, &dtype.read(&once, 8), 8), once, "{dtype:?} {scale}");
            }
        }
    }

    #[test]
    fn what_a_type_cannot_hold_is_said() {
        let error = DType::F16.write(&[1e6], 1, &mut Vec::new()).unwrap_err();
        assert!(error.contains("1000000") && error.contains("bf16"));
        // The largest f32 rounds to infinity in bf16.
        let error = DType::Bf16.write(&[1.0, f32::MAX], 1, &mut Vec::new()).unwrap_err();
        assert!(error.contains("range of bf16") && error.contains("f32"), "{error}");
        for dtype in [DType::F16, DType::Bf16, DType::I8] {
            for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let error = dtype.write(&[1.0, value], 1, &mut Vec::new()).unwrap_err();
                assert!(error.contains("value 1") && error.contains(dtype.name()), "{error}");
            }
        }
        let mut kept = Vec::new();
        DType::F32.write(&[f32::NAN, f32::INFINITY], 1, &mut kept).unwrap();
        assert_eq!(kept.len(), 8);
        assert_eq!(DType::I8.read(&written(DType::I8, &[0.0; 4], 2), 2), [0.0; 4]);
        assert_eq!(DType::F32.size([1 << 60, 1 << 60]), None);
    }
}
