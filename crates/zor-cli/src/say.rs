//! Lines on stdout, for a reader who may leave before the last one (`zor info MODEL | head -1`).

use std::fmt::Arguments;
use std::io::{ErrorKind, Write, stdout};

/// Like `println!`, but a reader who has left is no error.
macro_rules! say {
    ($($line:tt)*) => {
        crate::say::line(format_args!($($line)*))
    };
}

/// Writes a line. Where that cannot be, as on a full disk, the program ends: what it was asked to say is its result.
pub(crate) fn line(line: Arguments<'_>) {
    match writeln!(stdout(), "{line}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("error: cannot write to stdout: {error}");
            std::process::exit(1);
        }
        _ => {}
    }
}
