//! The `zor` command.

use std::process::ExitCode;

use zor::command::MessageWhenOutOfMemory;

#[global_allocator]
static ALLOCATOR: MessageWhenOutOfMemory = MessageWhenOutOfMemory;

fn main() -> ExitCode {
    zor::command(&[])
}
