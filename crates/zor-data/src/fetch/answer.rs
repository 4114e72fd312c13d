//! The answer of a server.

use std::io::Read;
use std::time::Duration;

/// Longest wait for a connection.
pub(crate) const CONNECT: Duration = Duration::from_secs(10);
/// An answer whose body is still to be read.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The status in words.
    pub(crate) said: String,
    /// Promised length of the body.
    pub(crate) length: Option<u64>,
    /// Address of a redirection, perhaps relative.
    pub(crate) location: Option<String>,
    pub(crate) body: Box<dyn Read>,
}
