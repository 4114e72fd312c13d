//! SHA-256 digests of decompressed contents, which do not depend on how a file was compressed.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::file;
use crate::hexadecimal::hexadecimal;
use crate::vision::idx;

/// Checks a file against the digest of its decompressed contents.
pub(crate) fn verify(path: &Path, digest: &str) -> Result<()> {
    let bytes = file::read(path)?;
    let found = digest_of(&bytes).map_err(|error| Error::in_file(path, error))?;
    if found == digest {
        Ok(())
    } else {
        Err(Error::in_file(
            path,
            "its contents are not the official ones; delete it and download it again",
        ))
    }
}

/// Returns the SHA-256 of the decompressed contents, in hexadecimal digits.
pub(crate) fn digest_of(bytes: &[u8]) -> std::result::Result<String, String> {
    let (mut body, _) = idx::open(bytes);
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => hasher.update(&buffer[..n]),
            Err(error) => return Err(format!("its gzip data is damaged or cut short: {error}")),
        }
    }
    Ok(hexadecimal(&hasher.finalize()))
}
