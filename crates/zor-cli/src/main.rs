//! The `zor` command. It is thin: arguments become settings once, the library does the work, and its results are shown.

// A line that cannot be written must not end the program: `say!` and `tell!` see to it.
#![deny(clippy::print_stdout, clippy::print_stderr)]

#[macro_use]
mod say;

mod arguments;
mod confusion;
mod curve;
mod data;
mod devices;
mod evaluate;
mod export;
mod files;
mod finished;
mod interrupt;
mod memory;
mod outputs;
mod own_images;
mod pictures;
mod progress;
mod report;
mod train;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::{CommandFactory, Parser};
use zor::ErrorKind;
use zor::run::RunState;

fn main() -> ExitCode {
    end_panics_as_errors();
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Command::Train(arguments) => train::run(&arguments),
        Command::Eval(arguments) => evaluate::run(arguments),
        Command::Reconstruct(arguments) => own_images::reconstruct(&arguments),
        Command::Classify(arguments) => own_images::classify(&arguments),
        Command::Colorize(arguments) => own_images::colorize(&arguments),
        Command::Info { file } => files::info(&file),
        Command::Verify { file } => files::verify(&file),
        Command::Convert(arguments) => files::convert(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Data(command) => data::run(command),
        Command::Devices(arguments) => devices::run(&arguments),
        Command::Completions { shell } => {
            let mut command = Arguments::command();
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command, "zor", &mut script);
            say!("{}", String::from_utf8_lossy(&script).trim_end());
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let word = if error.kind() == ErrorKind::Interrupted { "stopped" } else { "error" };
            tell!("{word}: {}", zor::escaped(&error.to_string()));
            ExitCode::from(error.exit_code())
        }
    }
}

/// burn panics where a device cannot be opened; users get an error like any other.
fn end_panics_as_errors() {
    std::panic::set_hook(Box::new(|panic| {
        let what = panic.payload_as_str().unwrap_or("no reason was given");
        let place = panic.location().map(|place| format!(" ({place})")).unwrap_or_default();
        tell!(
            "error: {what}{place}; if a device failed, `zor devices` lists what is there, and --device flex is the CPU"
        );
        interrupt::abandon(RunState::Failed, &format!("{what}{place}"));
        std::process::exit(1);
    }));
}

/// Makes a folder that can be written to.
fn make_folder(path: &std::path::Path) -> zor::Result<()> {
    std::fs::create_dir_all(path)
        .map_err(|error| zor::Error::file_system(path, "make the folder", &error))?;
    // A folder that cannot be written is better known before the training than after it.
    Ok(zor::io::atomic::check_writable(path)?)
}
