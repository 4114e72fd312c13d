//! The places of data sets, and downloads that are checked against pinned digests.

pub(crate) mod digest;
#[cfg(feature = "download")]
pub(crate) mod download;
pub(crate) mod locations;
#[cfg(feature = "download")]
mod proxy;

pub use locations::{Locations, Source};
