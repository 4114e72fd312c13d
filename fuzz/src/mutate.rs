//! Mutations of inputs: changed bits and bytes, forged numbers, and parts that are removed, moved
//! or copied from another input.

use zor::prelude::Random;

/// Values for forged lengths, sizes and counts.
const FORGED: [u64; 10] = [0, 1, 0x7f, 0xff, 0xffff, 1 << 20, 1 << 31, 1 << 32, 1 << 60, u64::MAX];
/// Maximum length of an input in bytes.
const MAX_LENGTH: usize = 1 << 16;

/// Writes an input with 1 to 4 random mutations, which may copy parts of another input.
pub fn mutate(input: &[u8], other: &[u8], random: &mut Random, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(input);
    for _ in 0..1 + random.below(4) {
        once(other, random, out);
    }
    out.truncate(MAX_LENGTH);
}

fn once(other: &[u8], random: &mut Random, out: &mut Vec<u8>) {
    let at = random.below(out.len() + 1);
    let rest = out.len() - at;
    match random.below(8) {
        0 if rest > 0 => out[at] ^= 1 << random.below(8),
        1 if rest > 0 => out[at] = random.below(256) as u8,
        2 => {
            let width = [1, 2, 4, 8][random.below(4)].min(rest);
            let number = FORGED[random.below(FORGED.len())].wrapping_sub(random.below(2) as u64);
            let mut bytes = number.to_le_bytes();
            if random.chance(0.5) {
                bytes[..width].reverse();
            }
            out[at..at + width].copy_from_slice(&bytes[..width]);
        }
        3 => out.truncate(at),
        4 => {
            let end = at + random.below(rest.min(16) + 1);
            out.drain(at..end);
        }
        5 => {
            let n = 1 + random.below(16);
            let bytes: Vec<u8> = (0..n).map(|_| random.below(256) as u8).collect();
            out.splice(at..at, bytes);
        }
        6 if !other.is_empty() => {
            let from = random.below(other.len());
            let end = from + random.below((other.len() - from).min(64)) + 1;
            out.splice(at..at, other[from..end].iter().copied());
        }
        _ => {
            let end = at + random.below(rest.min(64) + 1);
            let part = out[at..end].to_vec();
            let to = random.below(out.len() + 1);
            out.splice(to..to, part);
        }
    }
}
