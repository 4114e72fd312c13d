//! `zor translate`: translation of lines with a saved model.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::Path;

use super::arguments::TranslateArguments;
use super::interrupt;
use crate::task::Model;
use crate::translation::{Glossary, Search, Translation, Translator};
use crate::{Error, ErrorKind, Result, shown};

/// Number of lines that are translated together.
const TOGETHER: usize = 512;
/// Largest number of bytes of a line.
const MAX_LINE: u64 = 1 << 20;

/// `zor translate`.
pub(super) fn run(arguments: &TranslateArguments) -> Result<()> {
    crate::settings::check_threads(arguments.threads)?;
    super::train::set_threads(arguments.threads)?;
    let device = crate::device(&arguments.device)?;
    let model = Model::load(&arguments.model, &device)?;
    model.check_command("translate")?;
    let mut translator = Translator::of_model(model)?;
    // An unknown language is an error before anything is read.
    translator.vocabulary().tag(&arguments.to)?;
    if let Some(path) = &arguments.glossary {
        translator = translator.with_glossary(Glossary::read(path)?);
    }
    // More translations than hypotheses need a wider beam; no hypotheses at all are a mistake.
    let beam = if arguments.beam == 0 { 0 } else { arguments.beam.max(arguments.n_best) };
    let search = Search {
        beam,
        n_best: arguments.n_best,
        keeps: !arguments.free_numbers,
        reranks: !arguments.one_way,
    };
    interrupt::watch()?;
    let mut lines = Lines::open(&arguments.file)?;
    let mut first = 1;
    loop {
        let batch = lines.batch()?;
        if batch.is_empty() {
            return Ok(());
        }
        let mut watch = || match interrupt::asked() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let found = translator.translate(&batch, &arguments.to, search, &mut watch)?;
        if interrupt::asked() {
            return Err(Error::new(
                ErrorKind::Interrupted,
                format!("lines from {first} on are not translated"),
            ));
        }
        for (index, translations) in found.iter().enumerate() {
            for translation in translations {
                say!("{}", printed(first + index, translation, arguments));
            }
        }
        first += batch.len();
    }
}

/// The line that is printed for a translation.
fn printed(number: usize, translation: &Translation, arguments: &TranslateArguments) -> String {
    let mut columns = Vec::new();
    if arguments.n_best > 1 {
        columns.push(number.to_string());
    }
    if arguments.n_best > 1 || arguments.scores {
        columns.push(format!("{:.3}", translation.score));
    }
    columns.push(translation.text.clone());
    columns.join("\t")
}

/// Lines of a file or of the standard input.
struct Lines {
    name: String,
    reader: BufReader<Box<dyn Read>>,
    /// Number of lines read.
    number: usize,
}

impl Lines {
    fn open(path: &Path) -> Result<Self> {
        let (name, source): (String, Box<dyn Read>) = match path.as_os_str() == "-" {
            true => ("standard input".to_owned(), Box::new(std::io::stdin())),
            false => {
                let file = File::open(path).map_err(|error| match error.kind() {
                    std::io::ErrorKind::NotFound => Error::in_file(path, "there is no such file"),
                    _ => Error::file_system(path, "read it", &error),
                })?;
                if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
                    return Err(Error::in_file(path, "it is a folder, not a file"));
                }
                (shown(path), Box::new(file))
            }
        };
        Ok(Self { name, reader: BufReader::new(source), number: 0 })
    }

    /// Reads lines: at least one unless the file has ended, and further ones while they are there.
    /// A program that writes a line thus reads its translation at once.
    fn batch(&mut self) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        while lines.len() < TOGETHER && (lines.is_empty() || self.reader.buffer().contains(&b'\n'))
        {
            match self.line()? {
                Some(line) => lines.push(line),
                None => break,
            }
        }
        Ok(lines)
    }

    fn line(&mut self) -> Result<Option<String>> {
        let mut bytes = Vec::new();
        let failed = |error: std::io::Error| {
            Error::input(format!("{}: it cannot be read: {error}", self.name))
        };
        let mut limited = self.reader.by_ref().take(MAX_LINE + 1);
        let n = limited.read_until(b'\n', &mut bytes).map_err(failed)?;
        if n == 0 {
            return Ok(None);
        }
        self.number += 1;
        let place = format!("{}, line {}", self.name, self.number);
        if n as u64 > MAX_LINE {
            return Err(Error::input(format!("{place}: it is longer than {MAX_LINE} bytes")));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let byte = error.utf8_error().valid_up_to() + 1;
            Error::input(format!("{place}, byte {byte}: it is not UTF-8; save the file as UTF-8"))
        })?;
        let text = if self.number == 1 { text.trim_start_matches('\u{feff}') } else { &text };
        Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned()))
    }
}
