//! Peers: programs that Zor is compared with. They are scripts in `benches/peers`, each run by
//! Python in a virtual environment.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::paths::root;

/// A running script that replies to every line with a JSON object.
pub(crate) struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts a script. The first time, its virtual environment is created in the target folder
    /// with the pinned packages.
    pub(crate) fn start(script: &str, arguments: &[String]) -> Result<Self, String> {
        let mut child = command(script)?
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("{script}: {e}"))?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(input), Some(output)) => {
                Ok(Self { child, input, output: BufReader::new(output) })
            }
            _ => Err(format!("{script}: it has no standard input or output")),
        }
    }

    /// Sends a line and waits for the reply.
    pub(crate) fn ask(&mut self, request: &str) -> Result<Value, String> {
        writeln!(self.input, "{request}").map_err(|e| format!("the peer has ended: {e}"))?;
        let mut reply = String::new();
        self.output.read_line(&mut reply).map_err(|e| format!("the peer has ended: {e}"))?;
        // The threads of the peer spin for a while after its reply, which would slow the next
        // contender.
        std::thread::sleep(Duration::from_millis(50));
        serde_json::from_str(&reply).map_err(|e| format!("the peer replied '{reply}': {e}"))
    }

    /// Sends a line whose reply has a number as its `value`, and returns that.
    pub(crate) fn number(&mut self, request: &str) -> Result<f64, String> {
        let reply = self.ask(request)?;
        reply["value"].as_f64().ok_or_else(|| format!("the peer replied {reply}, without a number"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Errors mean that the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Numbers for a script: a file of little-endian f32 that is deleted on drop.
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
        // A file that stays is overwritten by the next run.
        let _ = fs::remove_file(&self.path);
    }
}

/// Returns the command that runs a script; see [`Peer::start`].
pub(super) fn command(script: &str) -> Result<Command, String> {
    let mut command = Command::new(python(script)?);
    command.arg(root().join("benches/peers").join(script));
    Ok(command)
}

/// The JSON object in the last line of a process.
pub(super) fn reply(command: &mut Command) -> Result<Value, String> {
    let output = command.output().map_err(|e| e.to_string())?;
    let out = String::from_utf8_lossy(&output.stdout);
    match (output.status.success(), out.lines().last()) {
        (true, Some(line)) => serde_json::from_str(line).map_err(|e| format!("{line}: {e}")),
        _ => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// Returns the interpreter of a virtual environment in the target folder: there is one each for
/// PyTorch, ONNX Runtime, scikit-learn and PyOD, selected by the prefix of the name of the script.
fn python(script: &str) -> Result<PathBuf, String> {
    let (name, what) = match script {
        script if script.starts_with("onnx") => ("-onnx", "ONNX Runtime"),
        script if script.starts_with("sklearn") => ("-sklearn", "scikit-learn"),
        script if script.starts_with("pyod") => ("-pyod", "PyOD"),
        script if script.starts_with("translation") => ("-translation", "PyTorch"),
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

/// Installs the newest wheel of `cargo xtask wheel` in the environment of a script.
pub(super) fn install_wheel(script: &str) -> Result<(), String> {
    let wheel = crate::python::built_wheel()?;
    let python = python(script)?;
    let options = ["-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall"];
    let wheel = wheel.to_string_lossy();
    call(&python.to_string_lossy(), &[&options[..], &[&wheel]].concat())
}

fn call(program: &str, arguments: &[&str]) -> Result<(), String> {
    let status = Command::new(program).args(arguments).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program} {}: {status}", arguments.join(" "))),
        Err(error) => Err(format!("{program}: {error}")),
    }
}
