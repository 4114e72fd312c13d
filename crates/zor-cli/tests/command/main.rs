//! The command run as a user runs it: its files, its words, and how it ends.

#![allow(clippy::unwrap_used, reason = "an unwrap in a test is an assertion")]

mod faults;
mod models;
mod pictures;
mod runs;
mod settings;
#[cfg(unix)]
mod signals;
mod support;
mod tables;
mod training;
mod usage;
