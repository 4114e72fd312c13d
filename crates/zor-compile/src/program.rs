//! Programs in memory and in files.

use std::path::Path;

use zor_io::{Error, Result, atomic, file};

/// A valid program in memory, aligned for [`zor_edge::Network`].
#[derive(Debug)]
pub struct Program {
    words: Vec<u32>,
    /// Position of the first word at the start of a cache line.
    first: usize,
}

/// Words in a cache line.
const LINE: usize = 16;

impl Clone for Program {
    fn clone(&self) -> Self {
        Self::copied(self.words[self.first..].iter().copied())
    }
}

impl Program {
    /// Reads a program from a file.
    ///
    /// # Errors
    /// When the file cannot be read, or is not a valid program.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = file::read(path)?;
        Self::from_bytes(&bytes).map_err(|error| Error::input(path, error))
    }

    /// Copies a program from bytes of any alignment.
    ///
    /// # Errors
    /// When they are not a valid program.
    pub fn from_bytes(bytes: &[u8]) -> std::result::Result<Self, zor_edge::ProgramError> {
        let (words, rest) = bytes.as_chunks::<4>();
        let program = Self::copied(words.iter().map(|word| u32::from_ne_bytes(*word)));
        // A valid program is a multiple of four bytes long; `bytes` of another length are refused.
        let whole = if rest.is_empty() { program.bytes() } else { bytes };
        zor_edge::Network::from_bytes(whole)?;
        Ok(program)
    }

    fn copied(from: impl ExactSizeIterator<Item = u32>) -> Self {
        let mut words: Vec<u32> = Vec::with_capacity(from.len() + LINE - 1);
        let first = words.as_ptr().align_offset(4 * LINE).min(LINE - 1);
        words.extend(std::iter::repeat_n(0, first).chain(from));
        Self { words, first }
    }

    /// Returns the bytes of the program.
    pub fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.words[self.first..])
    }

    /// Returns the network, which borrows the program.
    ///
    /// # Errors
    /// None in practice: the bytes were validated when the program was made, and this repeats the
    /// same check.
    pub fn network(&self) -> Result<zor_edge::Network<'_>> {
        zor_edge::Network::from_bytes(self.bytes())
            .map_err(|error| Error::unsupported(error.to_string()))
    }

    /// Returns the detector, which borrows the program.
    ///
    /// # Errors
    /// When the program has no detector.
    pub fn detector(&self) -> Result<zor_edge::Detector<'_>> {
        zor_edge::Detector::from_bytes(self.bytes())
            .map_err(|error| Error::unsupported(error.to_string()))
    }

    /// Writes the program to a file, atomically.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        atomic::write(path, self.bytes())
    }
}
