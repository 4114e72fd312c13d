//! Output for users and programs: results on stdout, everything else on stderr.
//!
//! File and class names can contain control characters, which a terminal would interpret; they are
//! escaped here.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write, stderr, stdout};

/// Prints a line of results to stdout. A closed pipe, as in `zor info MODEL | head -1`, is not an
/// error.
macro_rules! say {
    ($($line:tt)*) => {
        $crate::command::stdout::result(format_args!($($line)*))
    };
}

/// Prints a line to stderr. If stderr is closed or full, the line is dropped.
macro_rules! tell {
    ($($line:tt)*) => {
        $crate::command::stdout::remark(format_args!($($line)*))
    };
}

/// Implements `say!`. Ends the program if stdout cannot be written to, for example because the disk
/// is full: the results would be lost.
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

/// Implements `tell!`.
pub(super) fn remark(line: Arguments<'_>) {
    let _ = writeln!(stderr(), "{}", printable(&line.to_string()));
}

/// Escapes all control characters except line breaks, and tabs between columns.
fn printable(text: &str) -> String {
    if !text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')) {
        return text.to_owned();
    }
    let line = |line: &str| line.split('\t').map(crate::escaped).collect::<Vec<_>>().join("\t");
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_but_line_breaks_and_tabs_are_escaped() {
        assert_eq!(printable("a\nb"), "a\nb");
        assert_eq!(printable("a\u{1b}[2J\nb\tc"), "a\\u{1b}[2J\nb\tc");
    }
}
