//! Lines for people and programs: results on stdout, everything else on stderr.
//!
//! Names of files and classes can hold control characters, which would act on a terminal; they are
//! escaped here.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write, stderr, stdout};

/// Writes a line of results to stdout. A reader who left early (`zor info MODEL | head -1`) is no
/// error.
macro_rules! say {
    ($($line:tt)*) => {
        $crate::command::stdout::result(format_args!($($line)*))
    };
}

/// Writes a line to stderr. Where stderr is closed or full the line is lost, and the work
/// continues.
macro_rules! tell {
    ($($line:tt)*) => {
        $crate::command::stdout::remark(format_args!($($line)*))
    };
}

/// The function of `say!`. Where stdout cannot be written to, as on a full disk, the program ends:
/// the results cannot be had any more.
pub(super) fn result(line: Arguments<'_>) {
    let line = printable(&line.to_string());
    match writeln!(stdout(), "{line}").and_then(|()| stdout().flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            tell!("error: cannot write to stdout: {error}");
            std::process::exit(1);
        }
        _ => {}
    }
}

/// The function of `tell!`.
pub(super) fn remark(line: Arguments<'_>) {
    let _ = writeln!(stderr(), "{}", printable(&line.to_string()));
}

/// A text whose only control characters are line breaks.
fn printable(text: &str) -> String {
    if !text.contains(|c: char| c.is_control() && c != '\n') {
        return text.to_owned();
    }
    text.split('\n').map(crate::escaped).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_but_line_breaks_are_escaped() {
        assert_eq!(printable("a\nb"), "a\nb");
        assert_eq!(printable("a\u{1b}[2J\nb\tc"), "a\\u{1b}[2J\nb\\tc");
    }
}
