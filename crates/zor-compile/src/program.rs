//! A program in memory and in a file.

use std::path::Path;

use zor_io::{Error, Result, atomic, file};

/// A program in memory, where [`zor_edge::Network`] can run it.
#[derive(Debug)]
pub struct Program {
    words: Vec<u32>,
    /// The first word that lies at a line of the caches.
    first: usize,
}

/// Words of such a line.
const LINE: usize = 16;

impl Clone for Program {
    fn clone(&self) -> Self {
        Self::copied(self.words[self.first..].iter().copied())
    }
}

impl Program {
    /// Reads a program.
    ///
    /// # Errors
    /// When the file cannot be read, or is no sound program.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = file::read(path)?;
        Self::from_bytes(&bytes).map_err(|error| Error::input(path, error))
    }

    /// Copies bytes to where they can be used.
    ///
    /// # Errors
    /// When they are no sound program.
    pub fn from_bytes(bytes: &[u8]) -> std::result::Result<Self, zor_edge::ProgramError> {
        let (words, rest) = bytes.as_chunks::<4>();
        let program = Self::copied(words.iter().map(|word| u32::from_ne_bytes(*word)));
        // All of a program's parts are of four bytes; what follows them is too much.
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

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.words[self.first..])
    }

    /// The network.
    ///
    /// # Errors
    /// None: the program was found sound before.
    pub fn network(&self) -> Result<zor_edge::Network<'_>> {
        zor_edge::Network::from_bytes(self.bytes())
            .map_err(|error| Error::unsupported(error.to_string()))
    }

    /// Writes it to a file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        atomic::write(path, self.bytes())
    }
}
