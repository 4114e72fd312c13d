//! The command line: arguments become settings once, the library does the work, and its results are
//! shown.

// A line that cannot be written must not end the program: `say!` and `tell!` see to it.
#![deny(clippy::print_stdout, clippy::print_stderr)]

#[macro_use]
mod stdout;

mod arguments;
mod confusion_svg;
mod data;
mod devices;
mod evaluate;
mod export;
mod image_grid;
mod inference;
mod interrupt;
mod learning_curve_svg;
mod model_files;
mod out_of_memory;
mod outputs;
mod predict;
mod progress;
mod results;
mod tasks;
mod train;

use std::process::ExitCode;

use self::arguments::Command;
use crate::ErrorKind;
use crate::task::Task;
use crate::training::run_folder::RunState;
pub use out_of_memory::MessageWhenOutOfMemory;

/// Runs the command `zor` on the arguments of the program, with these tasks beside Zor's.
///
/// The exit code is 0 for done, 2 for wrong usage or input, and 1 for anything else.
pub fn command(tasks: &[&'static dyn Task]) -> ExitCode {
    crate::tasks::add(tasks);
    end_panics_as_errors();
    let done = match arguments::parse() {
        Command::Train(arguments) => train::run(&arguments),
        Command::Tasks { name } => tasks::run(name.as_deref()),
        Command::Eval(arguments) => evaluate::run(&arguments),
        Command::Reconstruct(arguments) => inference::reconstruct(&arguments),
        Command::Classify(arguments) => inference::classify(&arguments),
        Command::Colorize(arguments) => inference::colorize(&arguments),
        Command::Predict(arguments) => predict::run(&arguments),
        Command::Info { file } => model_files::info(&file),
        Command::Verify { file } => model_files::verify(&file),
        Command::Convert(arguments) => model_files::convert(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Data(command) => data::run(command),
        Command::Devices(arguments) => devices::run(&arguments),
        Command::Completions { shell } => {
            let script = arguments::completions(shell);
            say!("{}", script.trim_end());
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let word = if error.kind() == ErrorKind::Interrupted { "stopped" } else { "error" };
            tell!("{word}: {}", crate::escaped(&error.to_string()));
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
fn make_folder(path: &std::path::Path) -> crate::Result<()> {
    std::fs::create_dir_all(path)
        .map_err(|error| crate::Error::file_system(path, "make the folder", &error))?;
    // A folder that cannot be written is better known before the training than after it.
    Ok(zor_io::atomic::check_writable(path)?)
}

/// A path from the root, so that the settings of a run hold wherever they are read.
fn absolute(path: &std::path::Path) -> crate::Result<std::path::PathBuf> {
    std::path::absolute(path)
        .map_err(|error| crate::Error::file_system(path, "find its folder", &error))
}
