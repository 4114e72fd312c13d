//! The `zor` command: parses arguments, merges settings, calls the library and prints results.

// A line that cannot be printed must not end the program with a panic: use `say!` and `tell!`.
#![deny(clippy::print_stdout, clippy::print_stderr)]

#[macro_use]
mod stdout;

mod arguments;
mod data;
mod detect;
mod devices;
mod evaluate;
mod export;
mod inference;
mod interrupt;
mod model_files;
mod out_of_memory;
mod predict;
mod progress;
mod score;
mod score_plot;
mod tasks;
mod train;
mod translate;

use std::ffi::OsString;
use std::process::ExitCode;

use zor_data::table::Table;

use self::arguments::Command;
use crate::ErrorKind;
use crate::task::Task;
use crate::training::run_folder::RunState;
pub use out_of_memory::MessageWhenOutOfMemory;

/// Runs the `zor` command with the program's arguments. `tasks` are added to the built-in tasks.
///
/// Returns exit code 0 on success, 2 for invalid usage or input, and 1 for other errors.
pub fn command(tasks: &[&'static dyn Task]) -> ExitCode {
    ExitCode::from(command_with(std::env::args_os().skip(1), tasks))
}

/// [`command`] with the arguments after the program's name, for programs that start it with others
/// than their own. It owns the process: it handles signals, and errors of arguments end it.
pub fn command_with(arguments: impl Iterator<Item = OsString>, tasks: &[&'static dyn Task]) -> u8 {
    crate::tasks::add(tasks);
    end_panics_as_errors();
    let done = match arguments::parse(arguments.collect()) {
        Command::Train(arguments) => train::run(&arguments),
        Command::Tasks { name } => tasks::run(name.as_deref()),
        Command::Eval(arguments) => evaluate::run(&arguments),
        Command::Reconstruct(arguments) => inference::reconstruct(&arguments),
        Command::Classify(arguments) => inference::classify(&arguments),
        Command::Colorize(arguments) => inference::colorize(&arguments),
        Command::Predict(arguments) => predict::run(&arguments),
        Command::Detect(arguments) => detect::run(&arguments),
        Command::Translate(arguments) => translate::run(&arguments),
        Command::Score(arguments) => score::run(&arguments),
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
        Ok(()) => 0,
        Err(error) => {
            let word = if error.kind() == ErrorKind::Interrupted { "stopped" } else { "error" };
            tell!("{word}: {}", crate::escaped(&error.to_string()));
            error.exit_code()
        }
    }
}

/// Reports panics as errors: burn panics if a device cannot be opened.
fn end_panics_as_errors() {
    std::panic::set_hook(Box::new(|panic| {
        let what = panic.payload_as_str().unwrap_or("no reason was given");
        let place = panic.location().map(|place| format!(" ({place})")).unwrap_or_default();
        tell!(
            "error: {what}{place}; if a device failed, `zor devices` lists the available devices, and --device flex uses the CPU"
        );
        interrupt::abandon(RunState::Failed, &format!("{what}{place}"));
        std::process::exit(1);
    }));
}

/// Creates a folder if it does not exist, and checks that it is writable.
fn make_folder(path: &std::path::Path) -> crate::Result<()> {
    std::fs::create_dir_all(path)
        .map_err(|error| crate::Error::file_system(path, "create the folder", &error))?;
    // An error now is better than one after the training.
    Ok(zor_io::atomic::check_writable(path)?)
}

/// Returns an absolute path, so that the settings of a run are valid in any working directory. The
/// standard input (`-`) stays.
fn absolute(path: &std::path::Path) -> crate::Result<std::path::PathBuf> {
    if Table::is_standard_input(path) {
        return Ok(path.to_path_buf());
    }
    std::path::absolute(path)
        .map_err(|error| crate::Error::file_system(path, "find its folder", &error))
}
