//! Programs that Zor is compared with: scripts in `benches/peers`, run by a Python of their own.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::paths::root;

/// A running script that answers every line with a JSON object.
pub(crate) struct Peer {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts a script; the first time, its Python is set up in the target folder with the pinned
    /// packages.
    pub(crate) fn start(script: &str, arguments: &[String]) -> Result<Self, String> {
        let mut child = command(script)?
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("{script}: {e}"))?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(questions), Some(answers)) => {
                Ok(Self { child, questions, answers: BufReader::new(answers) })
            }
            _ => Err(format!("{script}: it has no standard input or output")),
        }
    }

    /// Sends a line and waits for the answer.
    pub(crate) fn ask(&mut self, question: &str) -> Result<Value, String> {
        writeln!(self.questions, "{question}").map_err(|e| format!("the peer is gone: {e}"))?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).map_err(|e| format!("the peer is gone: {e}"))?;
        // Its threads wait busily for a while, which makes small steps faster there and would slow
        // whoever is next.
        std::thread::sleep(Duration::from_millis(50));
        serde_json::from_str(&answer).map_err(|e| format!("the peer answered '{answer}': {e}"))
    }

    /// Sends a line that is answered by one number, the answer's `value`.
    pub(crate) fn number(&mut self, question: &str) -> Result<f64, String> {
        let answer = self.ask(question)?;
        answer["value"].as_f64().ok_or_else(|| format!("the peer answered {answer}"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone afterwards.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Numbers that a script reads: a file of little-endian f32 that is gone when this is dropped.
pub(super) struct Numbers {
    path: PathBuf,
}

impl Numbers {
    pub(super) fn write(name: &str, sets: &[&[f32]]) -> Result<Self, String> {
        let path = root().join("target/peers").join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        }
        let bytes: Vec<u8> =
            sets.iter().flat_map(|set| *set).flat_map(|value| value.to_le_bytes()).collect();
        fs::write(&path, bytes).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }
}

impl Drop for Numbers {
    fn drop(&mut self) {
        // A file that stays does no harm.
        let _ = fs::remove_file(&self.path);
    }
}

/// A script as a process; see [`Peer::start`].
pub(super) fn command(script: &str) -> Result<Command, String> {
    let mut command = Command::new(python(script)?);
    command.arg(root().join("benches/peers").join(script));
    Ok(command)
}

/// The interpreter of the virtual environment in the target folder: one each for PyTorch, ONNX
/// Runtime and scikit-learn, by the beginning of a script's name.
fn python(script: &str) -> Result<PathBuf, String> {
    let (name, what) = match script {
        script if script.starts_with("onnx") => ("-onnx", "ONNX Runtime"),
        script if script.starts_with("sklearn") => ("-sklearn", "scikit-learn"),
        _ => ("", "PyTorch"),
    };
    let folder = root().join(format!("target/peers{name}"));
    let python = folder.join("bin/python");
    if !python.exists() {
        println!("setting up Python with {what} in {} (once)", folder.display());
        let requirements = root().join(format!("benches/peers/requirements{name}.txt"));
        let folder = folder.to_string_lossy().into_owned();
        call("python3", &["-m", "venv", &folder])?;
        let packages = requirements.to_string_lossy();
        call(&python.to_string_lossy(), &["-m", "pip", "install", "--quiet", "-r", &packages])?;
    }
    Ok(python)
}

fn call(program: &str, arguments: &[&str]) -> Result<(), String> {
    let status = Command::new(program).args(arguments).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program} {}: {status}", arguments.join(" "))),
        Err(error) => Err(format!("{program}: {error}")),
    }
}
