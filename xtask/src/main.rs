//! Development tasks: `cargo xtask <task>`.

mod parity;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((task, files)) if task == "parity" && !files.is_empty() => parity_of(files),
        _ => ExitCode::from(2),
    }
}

fn parity_of(files: &[String]) -> ExitCode {
    let mut sound = true;
    for file in files {
        match parity::replay(Path::new(file)) {
            Ok(report) => {
                sound &= report.failure().is_none();
                println!("{file}: {report}");
            }
            Err(error) => {
                sound = false;
                println!("{error}");
            }
        }
    }
    ExitCode::from(u8::from(!sound))
}
