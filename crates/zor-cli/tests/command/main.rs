//! Tests of the `zor` command as users run it: files, messages and exit codes.

#![allow(clippy::unwrap_used, reason = "an unwrap in a test is an assertion")]

mod detection;
mod faults;
mod models;
mod pictures;
mod runs;
mod scores;
mod settings;
#[cfg(unix)]
mod signals;
mod support;
mod tables;
mod training;
mod translations;
mod usage;
