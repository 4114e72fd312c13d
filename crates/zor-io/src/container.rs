//! The bytes of a `.zor` file, format version 1: a description and tensors under one digest.
//!
//! | offset | bytes | contents |
//! |---|---|---|
//! | 0 | 8 | `ZORMODEL` |
//! | 8 | 4 | format version; all numbers are little-endian |
//! | 12 | 4 | zero |
//! | 16 | 8 | length of the description |
//! | 24 | 8 | length of the tensors, padding included |
//! | 32 | 32 | SHA-256 of everything else, from the first byte to the last |
//! | 64 | | the description; zeros up to the next multiple of 64 |
//! | | | tensors, each followed by zeros up to the next multiple of 64 |
//!
//! Only the header is read before the digest is verified.

use sha2::{Digest, Sha256};

const MAGIC: &[u8; 8] = b"ZORMODEL";
/// The format version that this Zor writes, and the newest that it reads.
pub(crate) const VERSION: u32 = 1;
const HEADER: usize = 64;
/// Position of the digest in the header.
const DIGEST: std::ops::Range<usize> = 32..64;
/// Alignment of tensors in the file and, with the file, in memory.
pub(crate) const ALIGNMENT: usize = 64;
/// Maximum length of a description in bytes; it bounds the memory allocated for reading one.
pub(crate) const LONGEST_DESCRIPTION: usize = 1 << 20;

/// A file with a valid digest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Container<'a> {
    /// The bytes of the description.
    pub(crate) description: &'a [u8],
    /// Offset of the tensors in the file.
    pub(crate) tensors_at: usize,
    /// Length of the tensors in bytes, padding included.
    pub(crate) tensors: usize,
}

/// A file to be written.
#[derive(Debug)]
pub(crate) struct File {
    head: Vec<u8>,
    tensors: Vec<u8>,
}

impl File {
    /// Returns the contents in parts, which avoids a copy of the tensors.
    pub(crate) fn parts(&self) -> [&[u8]; 2] {
        [&self.head, &self.tensors]
    }

    /// Returns the contents.
    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        self.head.extend(self.tensors);
        self.head
    }
}

/// Pads tensors to the alignment of the next one.
pub(crate) fn align(tensors: &mut Vec<u8>) {
    tensors.resize(tensors.len().next_multiple_of(ALIGNMENT), 0);
}

/// Returns a file of a description and aligned tensors, with its digest.
pub(crate) fn encode(description: &[u8], tensors: Vec<u8>) -> Result<File, String> {
    if description.len() > LONGEST_DESCRIPTION {
        return Err(format!(
            "its description has {} bytes; at most {LONGEST_DESCRIPTION} can be saved",
            description.len()
        ));
    }
    let mut head = Vec::with_capacity(HEADER + description.len().next_multiple_of(ALIGNMENT));
    head.extend(MAGIC);
    head.extend(VERSION.to_le_bytes());
    head.extend([0; 4]);
    head.extend((description.len() as u64).to_le_bytes());
    head.extend((tensors.len() as u64).to_le_bytes());
    head.extend([0; 32]);
    head.extend(description);
    align(&mut head);
    let digest = digest(&head, &tensors);
    head[DIGEST].copy_from_slice(&digest);
    Ok(File { head, tensors })
}

/// Returns the SHA-256 of a file without the digest in its header.
fn digest(head: &[u8], tensors: &[u8]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(&head[..DIGEST.start]);
    hasher.update(&head[DIGEST.end..]);
    hasher.update(tensors);
    hasher.finalize().into()
}

/// The fields of a header, checked against the length of the file.
struct Lengths {
    description: usize,
    tensors: usize,
    digest: [u8; 32],
}

/// Reads the header of a file of `length` bytes. `start` is the beginning of the file, up to the
/// end of the header or of the file.
fn lengths(start: &[u8], length: usize) -> Result<Lengths, String> {
    if !start.starts_with(MAGIC) {
        return Err("this is not a Zor model file: it does not begin with ZORMODEL".to_owned());
    }
    let Some((header, _)) = start.split_first_chunk::<HEADER>() else {
        return Err(format!("it ends after {length} bytes, inside its header of {HEADER}"));
    };
    let number = |at: usize| {
        let mut eight = [0; 8];
        eight.copy_from_slice(&header[at..at + 8]);
        u64::from_le_bytes(eight)
    };
    let version = number(8) as u32;
    if version != VERSION {
        return Err(format!(
            "it has format version {version}, this Zor reads version {VERSION}; use the version of Zor that wrote it, or a newer one"
        ));
    }
    // Lengths beyond the end of the file are rejected before anything is allocated.
    let (description, tensors) = (number(16), number(24));
    let rest = length.saturating_sub(HEADER);
    let padded = description.checked_next_multiple_of(ALIGNMENT as u64);
    if padded.and_then(|padded| padded.checked_add(tensors)) != Some(rest as u64) {
        return Err(format!(
            "its header promises {description} and {tensors} bytes, it has {rest} after the header: it is cut short or damaged; use another copy"
        ));
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(&header[DIGEST]);
    Ok(Lengths { description: description as usize, tensors: tensors as usize, digest })
}

impl Lengths {
    /// Refuses a file with another digest, and a valid one whose description is too long.
    fn check(&self, digest: [u8; 32]) -> Result<(), String> {
        if digest != self.digest {
            return Err("its digest does not match: it is damaged; use another copy".to_owned());
        }
        if self.description > LONGEST_DESCRIPTION {
            return Err(format!(
                "its description has {} bytes, more than {LONGEST_DESCRIPTION}",
                self.description
            ));
        }
        Ok(())
    }
}

/// Checks the header of a file, then its digest.
pub(crate) fn decode(bytes: &[u8]) -> Result<Container<'_>, String> {
    let lengths = lengths(bytes, bytes.len())?;
    let (header, rest) = bytes.split_at(HEADER);
    lengths.check(digest(header, rest))?;
    let description = &rest[..lengths.description];
    let tensors_at = HEADER + lengths.description.next_multiple_of(ALIGNMENT);
    Ok(Container { description, tensors_at, tensors: lengths.tensors })
}

/// A file read as a stream: all of it is hashed, only the description is kept.
pub(crate) struct Passing {
    lengths: Lengths,
    hasher: Sha256,
    description: Vec<u8>,
}

impl Passing {
    /// Starts with the first 64 bytes of a file of `length` bytes.
    pub(crate) fn new(header: &[u8], length: usize) -> Result<Self, String> {
        let lengths = lengths(header, length)?;
        let mut hasher = Sha256::new();
        hasher.update(&header[..DIGEST.start]);
        Ok(Self { lengths, hasher, description: Vec::new() })
    }

    /// Adds the bytes that follow.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        let wanted = self.lengths.description.min(LONGEST_DESCRIPTION) - self.description.len();
        self.description.extend(&bytes[..bytes.len().min(wanted)]);
    }

    /// Checks the digest; returns the description and the length of the tensors.
    pub(crate) fn finish(self) -> Result<(Vec<u8>, usize), String> {
        self.lengths.check(self.hasher.finalize().into())?;
        Ok((self.description, self.lengths.tensors))
    }
}

/// Updates the digest of changed bytes, so that tests and fuzzing reach the code after the check.
#[doc(hidden)]
pub fn reseal(bytes: &mut [u8]) {
    if bytes.len() >= HEADER {
        let digest = digest(bytes, &[]);
        bytes[DIGEST].copy_from_slice(&digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Vec<u8> {
        let mut tensors = vec![1, 2, 3];
        align(&mut tensors);
        tensors.extend([4; 70]);
        align(&mut tensors);
        encode(b"what they are", tensors).unwrap().into_bytes()
    }

    #[test]
    fn what_was_put_in_comes_out_aligned() {
        let bytes = sound();
        let container = decode(&bytes).unwrap();
        assert_eq!(container.description, b"what they are");
        assert_eq!(container.tensors_at % ALIGNMENT, 0);
        assert_eq!(container.tensors, 192);
        let tensors = &bytes[container.tensors_at..];
        assert_eq!((&tensors[..4], tensors[64]), (&[1, 2, 3, 0][..], 4));
    }

    #[test]
    fn a_file_that_passes_by_is_checked_as_one_in_memory() {
        let bytes = sound();
        let pass = |bytes: &[u8]| {
            let mut passing = Passing::new(&bytes[..bytes.len().min(64)], bytes.len())?;
            bytes[64..].chunks(7).for_each(|chunk| passing.add(chunk));
            passing.finish()
        };
        assert_eq!(pass(&bytes).unwrap(), (b"what they are".to_vec(), 192));
        for byte in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[byte] ^= 1;
            assert!(pass(&damaged).is_err(), "byte {byte}");
        }
    }

    #[test]
    fn every_flipped_bit_shorter_and_longer_file_is_refused() {
        let sound = sound();
        let mut damaged = sound.clone();
        for bit in 0..8 * sound.len() {
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&damaged).is_err(), "bit {bit}");
            damaged[bit / 8] ^= 1 << (bit % 8);
        }
        for length in 0..sound.len() {
            assert!(decode(&sound[..length]).is_err(), "cut to {length} bytes");
        }
        for _ in 0..64 {
            damaged.push(0);
            assert!(decode(&damaged).is_err(), "{} bytes", damaged.len());
        }
    }

    #[test]
    fn forged_lengths_are_refused_by_the_header_alone() {
        for forged in [u64::MAX, 1 << 60, 1 << 32, 0] {
            for at in [16, 24] {
                let mut bytes = sound();
                bytes[at..at + 8].copy_from_slice(&forged.to_le_bytes());
                reseal(&mut bytes);
                assert!(decode(&bytes).unwrap_err().contains("promises"), "{forged} at {at}");
            }
        }
    }

    #[test]
    fn a_newer_format_says_which_zor_reads_it() {
        let mut bytes = sound();
        bytes[8] = 2;
        let error = decode(&bytes).unwrap_err();
        assert!(error.contains("version 2") && error.contains("newer"), "{error}");
    }

    #[test]
    fn a_description_too_long_to_be_read_is_not_written() {
        let long = vec![0; LONGEST_DESCRIPTION + 1];
        assert!(encode(&long, Vec::new()).unwrap_err().contains("at most"));
    }
}
