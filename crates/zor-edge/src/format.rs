//! Sizes of a program's parts, and numbers in its bytes.

/// Number of bytes of the header.
pub(crate) const HEADER: usize = 32;
/// Maximum number of values in a map. Larger maps are not for small devices, and sums of their
/// products could overflow.
pub const MAX_VALUES: usize = 1 << 17;

/// Number at an offset; 0 past the end.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    match bytes.get(at..).unwrap_or(&[]) {
        [a, b, ..] => u16::from_le_bytes([*a, *b]),
        _ => 0,
    }
}

/// Number at an offset; 0 past the end.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    match bytes.get(at..).unwrap_or(&[]) {
        [a, b, c, d, ..] => u32::from_le_bytes([*a, *b, *c, *d]),
        _ => 0,
    }
}

/// Number at an offset; 0 past the end.
pub(crate) fn f32_at(bytes: &[u8], at: usize) -> f32 {
    f32::from_bits(u32_at(bytes, at))
}
