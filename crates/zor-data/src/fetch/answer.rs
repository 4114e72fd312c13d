//! The response of a server.

use std::io::Read;
use std::time::Duration;

/// Timeout of a connection attempt.
pub(crate) const CONNECT: Duration = Duration::from_secs(10);
/// A response whose body is still to be read.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Status line for messages.
    pub(crate) said: String,
    /// Length of the body, from the header.
    pub(crate) length: Option<u64>,
    /// Target of a redirection; may be relative.
    pub(crate) location: Option<String>,
    pub(crate) body: Box<dyn Read>,
}
