//! Locations of data sets, and downloads that are verified against pinned digests.

#[cfg(feature = "download")]
mod address;
#[cfg(feature = "download")]
mod answer;
pub(crate) mod digest;
#[cfg(feature = "download")]
pub(crate) mod download;
pub(crate) mod locations;
#[cfg(feature = "download")]
mod proxy;
#[cfg(feature = "download")]
mod request;

pub use locations::{Locations, Source};
