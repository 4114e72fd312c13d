//! Sentence pairs of the user, of a named corpus, or of the sample, for training and evaluation.

use std::path::{Path, PathBuf};

use zor_data::Locations;
use zor_data::text::{Cleaning, Columns, Corpus, Pair, Parallel, corpora};

use crate::error::{Error, Result, shown};
use crate::settings::{Settings, languages_of};

/// Every n-th pair is held out for the evaluation.
const EVERY: usize = 20;
/// Largest number of pairs that are held out.
const MAX_HELD_OUT: usize = 500;
/// Least number of pairs.
const LEAST: usize = 20;

/// Pairs for training and evaluation.
#[derive(Debug)]
pub(super) struct Pairs {
    pub train: Vec<Pair>,
    pub evaluation: Vec<Pair>,
    pub evaluation_name: String,
    pub languages: [String; 2],
    pub source: String,
}

/// Loads the pairs that the settings name.
pub(super) fn load(settings: &Settings, tell: &mut dyn FnMut(&str)) -> Result<Pairs> {
    let options = &settings.translation;
    let given = options.languages.as_deref().map(languages_of).transpose()?;
    let pairs = match (&settings.data, &options.corpus) {
        (Some(_), Some(_)) => {
            return Err(Error::input("data and a corpus are given; choose one of them"));
        }
        (Some(path), None) => {
            let languages = given.ok_or_else(|| {
                Error::input(
                    "name the languages of the pairs with --languages, such as en,pcm, in the \
                     order of their columns",
                )
            })?;
            own(path, languages, settings, tell)?
        }
        (None, Some(name)) => {
            let locations = Locations::from_environment(settings.data_dir.clone());
            of_corpus(corpora::load(name, &locations, tell)?, settings)?
        }
        (None, None) => {
            let corpus = corpora::sample()?;
            tell(&format!(
                "note: no pairs are given, so the sample that comes with Zor is used: {} ({}); \
                 give your own with --data FILE --languages A,B, or name a corpus with --corpus",
                corpus.name, corpus.licence
            ));
            of_corpus(corpus, settings)?
        }
    };
    if let Some(languages) = options.languages.as_deref().map(languages_of).transpose()?
        && languages != pairs.languages
    {
        let remedy = match options.corpus {
            Some(_) => "leave out --languages",
            None => "give pairs of your own with --data, or leave out --languages",
        };
        return Err(Error::input(format!(
            "the languages of {} are {}; {remedy}",
            pairs.source,
            pairs.languages.join(",")
        )));
    }
    let (train, report) = Cleaning::default().clean(pairs.train);
    if report.kept < report.total() {
        tell(&format!("note: {report}"));
    }
    if train.len() < LEAST {
        return Err(Error::input(format!(
            "{}: {} pairs are left to learn from; at least {LEAST} are needed",
            pairs.source,
            train.len()
        )));
    }
    Ok(Pairs { train, ..pairs })
}

fn of_corpus(corpus: Corpus, settings: &Settings) -> Result<Pairs> {
    let Corpus { train, dev, languages, source, name, .. } = corpus;
    let (evaluation, evaluation_name) = match &settings.translation.dev {
        Some(path) => (read(path, &languages)?, shown(path)),
        None => (dev, format!("the development pairs of {name}")),
    };
    Ok(Pairs { train, evaluation, evaluation_name, languages, source })
}

/// Reads the user's pairs.
fn own(
    path: &Path,
    languages: [String; 2],
    settings: &Settings,
    tell: &mut dyn FnMut(&str),
) -> Result<Pairs> {
    let parallel = read_parallel(path, &languages)?;
    if parallel.lines_with_controls > 0 {
        tell(&format!(
            "note: control characters were removed from {} lines",
            parallel.lines_with_controls
        ));
    }
    let source = shown(path);
    let mut train = parallel.pairs;
    let (evaluation, evaluation_name) = match &settings.translation.dev {
        Some(dev) => (read(dev, &languages)?, shown(dev)),
        None => {
            let every = EVERY.max(train.len().div_ceil(MAX_HELD_OUT));
            let (mut held_out, mut rest) = (Vec::new(), Vec::new());
            for (number, pair) in train.into_iter().enumerate() {
                match (number + 1) % every {
                    0 => held_out.push(pair),
                    _ => rest.push(pair),
                }
            }
            train = rest;
            (held_out, format!("every {every}th pair (held out)"))
        }
    };
    Ok(Pairs { train, evaluation, evaluation_name, languages, source })
}

/// Reads pairs to evaluate on.
pub(super) fn read(path: &Path, languages: &[String; 2]) -> Result<Vec<Pair>> {
    let mut pairs = read_parallel(path, languages)?.pairs;
    pairs.retain(|pair| !pair.source.trim().is_empty() && !pair.target.trim().is_empty());
    match pairs.is_empty() {
        true => Err(Error::in_file(path, "it has no pair with two sides")),
        false => Ok(pairs),
    }
}

/// Reads a table with tabs, JSON lines, or two files of lines `PATH.A` and `PATH.B` that end with
/// the languages.
fn read_parallel(path: &Path, languages: &[String; 2]) -> Result<Parallel> {
    let [a, b] = languages;
    let with = |language: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(".");
        name.push(language);
        PathBuf::from(name)
    };
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    match ending {
        "jsonl" | "json" => Ok(Parallel::read_json_lines(path, a, b)?),
        "tsv" | "txt" => Ok(Parallel::read_tsv(path, columns(path, languages))?),
        _ if with(a).is_file() || with(b).is_file() => {
            Ok(Parallel::read_lines(&with(a), &with(b))?)
        }
        _ => Err(Error::in_file(
            path,
            format!(
                "pairs are read from a .tsv file with two columns, from JSON lines in a .jsonl \
                 file, or from two files of lines, {} and {}",
                shown(&with(a)),
                shown(&with(b))
            ),
        )),
    }
}

/// Columns of a table: named in the first line, or the first two.
fn columns<'a>(path: &Path, languages: &'a [String; 2]) -> Columns<'a> {
    use std::io::{BufRead, BufReader, Read};
    /// Most bytes of a first line that names columns.
    const MOST: u64 = 1 << 12;
    let mut first = String::new();
    if let Ok(file) = std::fs::File::open(path) {
        // A file that cannot be read fails again, with an error, where its pairs are read.
        let _ = BufReader::new(file.take(MOST)).read_line(&mut first);
    }
    let names: Vec<&str> =
        first.trim_start_matches('\u{feff}').trim_end().split('\t').map(str::trim).collect();
    match languages.iter().all(|language| names.contains(&language.as_str())) {
        true => Columns::Languages(&languages[0], &languages[1]),
        false => Columns::Numbers(1, 2),
    }
}
