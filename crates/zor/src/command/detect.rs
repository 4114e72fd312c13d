//! `zor detect`: scores and alarms for the rows of a table or a stream, as they come in.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use serde_json::json;
use zor_data::table::{Record, Records, Table};

use super::arguments::DetectArguments;
use super::interrupt;
use super::score_plot::ScorePlot;
use crate::detection::{Cause, Detection, Detector, Reader};
use crate::run::outputs;
use crate::{Error, ErrorKind, Result, escaped, shown};

/// Maximum number of rows that are scored together. Fewer are if the stream has no more for now.
const BATCH: usize = 64;
/// Maximum number of cells that explain a row.
const CAUSES: usize = 3;

pub(super) fn run(arguments: &DetectArguments) -> Result<()> {
    let device = crate::device(&arguments.device)?;
    super::train::set_threads(arguments.threads)?;
    let detector = Detector::load(&arguments.model, &device)?;
    let threshold = detector.scoring().calibration.threshold(arguments.false_alarm_rate)?;
    let is_stdin = arguments.file == Path::new("-");
    for out in arguments.save.iter().chain(&arguments.plot) {
        let read: &[&Path] = if is_stdin { &[] } else { &[&arguments.file] };
        outputs::check(out, read.iter().copied())?;
    }
    if arguments.adapt {
        interrupt::watch()?;
        tell!("note: the promised false-alarm rate ends where the detector begins to adapt");
    }
    let mut work = Work {
        arguments,
        detector,
        threshold,
        out: BufWriter::new(io::stdout().lock()),
        plot: ScorePlot::new(threshold),
        n_rows: 0,
        n_scored: 0,
        n_alarms: 0,
        n_unread: 0,
    };
    let ended = work.rows(is_stdin);
    let closed = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    match ended.and_then(|()| work.out.flush().map_err(Stop::Output)) {
        Ok(()) | Err(Stop::Interrupted) => {}
        // The reader of the results has seen enough, as in `zor detect ... | head`.
        Err(Stop::Output(error)) if closed(&error) => {}
        Err(Stop::Output(error)) => {
            return Err(Error::new(
                ErrorKind::FileSystem,
                format!("cannot write to standard output: {error}"),
            ));
        }
        Err(Stop::Failed(error)) => {
            let _ = work.out.flush();
            return Err(error);
        }
    }
    work.finish()
}

/// Why the rows end early.
enum Stop {
    /// Standard output cannot be written to.
    Output(io::Error),
    /// The user asked to stop.
    Interrupted,
    /// Anything else.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<zor_data::Error> for Stop {
    fn from(error: zor_data::Error) -> Self {
        Self::Failed(error.into())
    }
}

struct Work<'a> {
    arguments: &'a DetectArguments,
    detector: Detector,
    threshold: f32,
    out: BufWriter<io::StdoutLock<'static>>,
    plot: ScorePlot,
    n_rows: usize,
    n_scored: usize,
    n_alarms: usize,
    n_unread: usize,
}

impl Work<'_> {
    /// Scores all rows of the file, or of standard input.
    fn rows(&mut self, is_stdin: bool) -> std::result::Result<(), Stop> {
        let path = &self.arguments.file;
        if is_stdin {
            self.stream(Records::standard_input()?)
        } else if Table::is_array(path) {
            self.table(&Table::read(path)?)
        } else {
            self.stream(Records::new(&shown(path), open(path)?)?)
        }
    }

    fn stream<R: Read>(&mut self, mut records: Records<R>) -> std::result::Result<(), Stop> {
        let (header, _) = records.header()?;
        let name = records.name().to_owned();
        let scheme = self.detector.scoring().scheme.clone();
        let mut reader = scheme.reader(&name, &header)?;
        self.header()?;
        let mut batch = Batch::default();
        loop {
            let record = records.read();
            let ended = matches!(record, Ok(None));
            match record {
                Ok(None) => {}
                Ok(Some(record)) => self.read(&mut reader, &record, &mut batch)?,
                Err(error) if error.kind() == zor_data::ErrorKind::Input => {
                    reader.skip();
                    self.unreadable(error.into(), &mut batch)?;
                }
                Err(error) => return Err(error.into()),
            }
            if batch.rows.len() >= BATCH || ended || !records.has_unread_line() {
                self.score(&mut batch)?;
                self.out.flush().map_err(Stop::Output)?;
            }
            if ended {
                return Ok(());
            }
            if self.arguments.adapt && interrupt::asked() {
                return Err(Stop::Interrupted);
            }
        }
    }

    fn table(&mut self, table: &Table) -> std::result::Result<(), Stop> {
        let scheme = self.detector.scoring().scheme.clone();
        let mut reader = scheme.reader(table.name(), table.columns())?;
        self.header()?;
        let mut batch = Batch::default();
        for row in 0..table.len() {
            self.read(&mut reader, &table.record(row), &mut batch)?;
            if batch.rows.len() >= BATCH {
                self.score(&mut batch)?;
            }
        }
        self.score(&mut batch)
    }

    /// Adds a record to the batch.
    fn read(
        &mut self,
        reader: &mut Reader<'_>,
        record: &Record<'_>,
        batch: &mut Batch,
    ) -> std::result::Result<(), Stop> {
        match reader.read(record) {
            Ok(Some(window)) => batch.rows.push(Some(window.to_vec())),
            // The window is not complete.
            Ok(None) => batch.rows.push(None),
            Err(error) => self.unreadable(error, batch)?,
        }
        Ok(())
    }

    /// Reports a row that cannot be read.
    fn unreadable(&mut self, error: Error, batch: &mut Batch) -> std::result::Result<(), Stop> {
        if self.arguments.strict {
            self.score(batch)?;
            return Err(error.into());
        }
        tell!("warning: {error}; the row has no score");
        self.n_unread += 1;
        batch.rows.push(None);
        Ok(())
    }

    fn header(&mut self) -> std::result::Result<(), Stop> {
        if self.arguments.json_lines {
            return Ok(());
        }
        let more = if self.arguments.explain { ",explanation" } else { "" };
        writeln!(self.out, "row,score,p_value,alarm{more}").map_err(Stop::Output)
    }

    /// Scores the rows of a batch, writes them, and empties the batch.
    fn score(&mut self, batch: &mut Batch) -> std::result::Result<(), Stop> {
        let rows: Vec<&[f32]> = batch.rows.iter().flatten().map(|row| &row[..]).collect();
        let mut found = self.detector.score_encoded(&rows)?.into_iter();
        for row in batch.rows.drain(..) {
            let scored = row.and_then(|_| found.next());
            self.write(scored.as_ref()).map_err(Stop::Output)?;
            if let Some(found) = scored {
                let is_alarm = found.score > self.threshold;
                self.plot.push(self.n_rows, found.score);
                self.n_scored += 1;
                self.n_alarms += usize::from(is_alarm);
                if self.arguments.adapt && !is_alarm {
                    self.detector.adapt(&found.values)?;
                }
            }
            self.n_rows += 1;
        }
        Ok(())
    }

    /// Writes the line of a row.
    fn write(&mut self, scored: Option<&Detection>) -> io::Result<()> {
        let row = self.n_rows;
        let causes: Vec<Cause> = match scored {
            Some(found) if self.arguments.explain => self.detector.explain(found, CAUSES),
            _ => Vec::new(),
        };
        let is_alarm = |found: &Detection| found.score > self.threshold;
        if self.arguments.json_lines {
            let (score, p_value, alarm) = match scored {
                Some(found) => (json!(found.score), json!(found.p_value), json!(is_alarm(found))),
                None => (json!(null), json!(null), json!(null)),
            };
            let mut line =
                json!({ "row": row, "score": score, "p_value": p_value, "alarm": alarm });
            if self.arguments.explain {
                let cause = |cause: &Cause| {
                    json!({
                        "column": cause.column,
                        "value": cause.value,
                        "expected": cause.expected,
                        "share": cause.share,
                    })
                };
                line["causes"] = causes.iter().map(cause).collect();
            }
            return writeln!(self.out, "{line}");
        }
        match scored {
            Some(found) => {
                let alarm = u8::from(is_alarm(found));
                write!(self.out, "{row},{:.4},{:.4},{alarm}", found.score, found.p_value)?;
            }
            None => write!(self.out, "{row},,,")?,
        }
        if self.arguments.explain {
            let said: Vec<String> = causes
                .iter()
                .map(|cause| {
                    let Cause { column, value, expected, share } = cause;
                    format!("{column} is {value}, expected {expected} ({:.0} %)", 100.0 * share)
                })
                .collect();
            write!(self.out, ",\"{}\"", escaped(&said.join("; ")).replace('"', "\"\""))?;
        }
        writeln!(self.out)
    }

    /// Saves what was asked for, and prints a summary.
    fn finish(self) -> Result<()> {
        let Self { arguments, detector, plot, n_rows, n_scored, n_alarms, n_unread, .. } = self;
        tell!("rows: {n_rows}, scored: {n_scored}, alarms: {n_alarms}, unreadable: {n_unread}");
        if let Some(path) = &arguments.plot {
            plot.write(path)?;
            tell!("written to {}", shown(path));
        }
        if let Some(path) = &arguments.save {
            detector.save(path)?;
            tell!("saved to {}", shown(path));
        }
        Ok(())
    }
}

/// Rows that are scored together: encoded windows, and `None` for rows without a score.
#[derive(Default)]
struct Batch {
    rows: Vec<Option<Vec<f32>>>,
}

/// Opens a file: a regular file, or a pipe.
fn open(path: &Path) -> Result<File> {
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::in_file(path, "there is no such file"),
        _ => Error::file_system(path, "read it", &error),
    })?;
    match file.metadata() {
        Ok(about) if about.is_dir() => Err(Error::in_file(path, "it is a folder, not a file")),
        _ => Ok(file),
    }
}
