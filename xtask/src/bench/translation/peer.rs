//! The program in PyTorch that trains and translates with the pairs of a corpus.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use zor::data::text::Corpus;

use super::super::common::threads;
use super::super::peers;
use super::TOKENS;
use crate::paths::root;

const SCRIPT: &str = "translation.py";

/// Folder of the lines that the peer reads.
pub(super) fn folder(corpus: &str) -> Result<PathBuf, String> {
    let folder = root().join("target/peers-lines").join(corpus);
    fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    Ok(folder)
}

/// The peer with the pairs of a corpus.
pub(super) fn peer(name: &str, corpus: &Corpus, network: &str) -> Result<Command, String> {
    let folder = folder(name)?;
    let mut command = peers::command(SCRIPT)?;
    command.args(["--network", network, "--both-directions"]);
    command.args(["--threads", &threads().to_string(), "--tokens", &TOKENS.to_string()]);
    for (set, pairs) in [("train", &corpus.train), ("dev", &corpus.dev), ("test", &corpus.test)] {
        command.arg(format!("--{set}"));
        for (side, language) in corpus.languages.iter().enumerate() {
            let path = folder.join(format!("{set}.{language}"));
            let lines = pairs.iter().map(|pair| [&pair.source, &pair.target][side].as_str());
            let lines = lines.collect::<Vec<_>>().join("\n") + "\n";
            fs::write(&path, lines).map_err(|e| format!("{}: {e}", path.display()))?;
            command.arg(path);
        }
    }
    Ok(command)
}
