//! `zor score`: BLEU and chrF of translations in a text file.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use serde_json::json;

use super::arguments::ScoreArguments;
use crate::translation::score::{BLEU_SIGNATURE, CHRF_SIGNATURE, score};
use crate::{Error, Result, shown};

/// Byte order mark of UTF-8, which editors write at the start of a file.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// `zor score`.
pub(super) fn run(arguments: &ScoreArguments) -> Result<()> {
    let hypotheses = read(&arguments.hypotheses)?;
    let references = read(&arguments.references)?;
    let (hypotheses, references) = (lines(&hypotheses), lines(&references));
    if hypotheses.len() != references.len() {
        let message = format!(
            "it has {}, and {} has {}; each line needs a reference in the line of its number",
            counted(hypotheses.len()),
            shown(&arguments.references),
            counted(references.len())
        );
        return Err(Error::in_file(&arguments.hypotheses, message));
    }
    let score = score(&hypotheses, &references)?;
    let rows = [("BLEU", score.bleu, BLEU_SIGNATURE), ("chrF", score.chrf, CHRF_SIGNATURE)];
    let mut table = format!("{:<8} {:>6}  signature", "metric", "score");
    for (metric, score, signature) in rows {
        table += &format!("\n{metric:<8} {:>6.2}  {signature}", 100.0 * score);
    }
    if arguments.json {
        tell!("{table}");
        let object = json!({
            "bleu": score.bleu,
            "chrf": score.chrf,
            "sentences": score.sentences,
            "signature_bleu": BLEU_SIGNATURE,
            "signature_chrf": CHRF_SIGNATURE,
        });
        say!("{object}");
    } else {
        say!("{table}");
    }
    Ok(())
}

/// Reads a text file, or a pipe, of at least one line.
fn read(path: &Path) -> Result<String> {
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => Error::in_file(path, "there is no such file"),
        _ => Error::file_system(path, "read it", &error),
    };
    let mut file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(Error::in_file(path, "it is a folder, not a file"));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(failed)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        Error::input(format!("{}, line {line}: it is not UTF-8; save it as UTF-8", shown(path)))
    })?;
    if text.trim_start_matches(BYTE_ORDER_MARK).is_empty() {
        return Err(Error::in_file(path, "it is empty; write one sentence in each line"));
    }
    Ok(text)
}

/// Lines of a text without its byte order mark. The last line may end with a line break.
fn lines(text: &str) -> Vec<&str> {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text).lines().collect()
}

fn counted(lines: usize) -> String {
    if lines == 1 { "1 line".to_owned() } else { format!("{lines} lines") }
}
