//! Parallel text: sentences with their translations, from two files of lines, a table with tabs, or
//! JSON lines.

use std::borrow::Cow;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result, listed, quoted, shown};
use crate::file;
use crate::text::lines::Lines;
use crate::text::normalisation::{has_controls, normalised};

/// Key of the texts in a JSON line, unless they are at its top.
const TRANSLATION: &str = "translation";

/// A sentence and its translation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    /// Sentence in the source language.
    pub source: String,
    /// Sentence in the target language.
    pub target: String,
}

/// The columns of a table that contain the sentences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Columns<'a> {
    /// Numbers of the columns of source and target, from 1. The table has no header.
    Numbers(usize, usize),
    /// Names of the columns of source and target in the first line, such as `en` and `pcm`.
    Languages(&'a str, &'a str),
}

/// Sentence pairs of a file, or of two.
///
/// All texts are in their normal form ([`normalised`]). A side of a pair may be empty.
///
/// The methods that read return an error if a file cannot be read, is longer than 16,777,216 lines
/// or 4 GiB, has a line longer than 1 MiB or one that is not UTF-8, or has no text. The message
/// names file and line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parallel {
    /// The pairs in the order of their lines.
    pub pairs: Vec<Pair>,
    /// Number of lines from which control characters were removed.
    pub lines_with_controls: usize,
}

impl Parallel {
    /// Reads two files. Line n of one is the translation of line n of the other.
    ///
    /// # Errors
    /// Those of [`Parallel`]. When the files have different numbers of lines.
    pub fn read_lines(source: &Path, target: &Path) -> Result<Self> {
        let (source_file, target_file) = (file::open(source)?, file::open(target)?);
        Self::parse_lines((&shown(source), source_file), (&shown(target), target_file))
    }

    /// Reads two sources of lines, each with a name for messages.
    ///
    /// # Errors
    /// As [`Parallel::read_lines`].
    pub fn parse_lines(source: (&str, impl Read), target: (&str, impl Read)) -> Result<Self> {
        let mut sources = Lines::new(source.0, source.1);
        let mut targets = Lines::new(target.0, target.1);
        let mut parallel = Self::default();
        while let (Some(source), Some(target)) = (sources.read()?, targets.read()?) {
            parallel.lines_with_controls +=
                usize::from(has_controls(source)) + usize::from(has_controls(target));
            parallel.push(source, target);
        }
        // The longer file is read to its end, for the number of its lines.
        while sources.read()?.is_some() {}
        while targets.read()?.is_some() {}
        let (n_sources, n_targets) = (sources.number(), targets.number());
        if n_sources == 0 {
            return Err(empty(&sources));
        }
        if n_targets == 0 {
            return Err(empty(&targets));
        }
        if n_sources != n_targets {
            return Err(Error::input(format!(
                "{}: it has {n_sources} lines and {} has {n_targets}; line n of one must be the \
                 translation of line n of the other",
                sources.name(),
                targets.name()
            )));
        }
        parallel.check(&sources, "source", |pair| &pair.source)?;
        parallel.check(&targets, "target", |pair| &pair.target)?;
        Ok(parallel)
    }

    /// Reads a table with tabs between its columns. Blank lines are skipped. A cell that has quotes
    /// inside may be quoted as in CSV; other quotes are part of the sentence.
    ///
    /// # Errors
    /// Those of [`Parallel`]. When a line lacks one of the columns, the header lacks one of the
    /// languages, both columns are one, or a column has the number 0.
    pub fn read_tsv(path: &Path, columns: Columns<'_>) -> Result<Self> {
        Self::parse_tsv(&shown(path), file::open(path)?, columns)
    }

    /// Reads a table with tabs between its columns from a source. The name is for messages.
    ///
    /// # Errors
    /// As [`Parallel::read_tsv`].
    pub fn parse_tsv(name: &str, table: impl Read, columns: Columns<'_>) -> Result<Self> {
        let mut lines = Lines::new(name, table);
        let places = match columns {
            Columns::Numbers(source, target) => {
                check_different(&lines, &source.to_string(), &target.to_string())?;
                match (source.checked_sub(1), target.checked_sub(1)) {
                    (Some(source), Some(target)) => [source, target],
                    _ => {
                        let message = "there is no column 0; the first column is number 1";
                        return Err(Error::input(format!("{}: {message}", lines.name())));
                    }
                }
            }
            Columns::Languages(source, target) => {
                check_different(&lines, source, target)?;
                let Some(line) = lines.read_text()? else {
                    return Err(empty(&lines));
                };
                header(line, [source, target]).map_err(|message| lines.refused(&message))?
            }
        };
        let mut parallel = Self::default();
        while let Some(line) = lines.read_text()? {
            let read = cells(line, places);
            let [source, target] = read.map_err(|message| lines.refused(&message))?;
            parallel.push_line(&source, &target);
        }
        parallel.check(&lines, "source", |pair| &pair.source)?;
        parallel.check(&lines, "target", |pair| &pair.target)?;
        Ok(parallel)
    }

    /// Reads JSON lines: each is an object with the texts under the keys of the languages, such as
    /// `{"en": "...", "pcm": "..."}`, alone or under the key `translation` of another object. Blank
    /// lines are skipped.
    ///
    /// # Errors
    /// Those of [`Parallel`]. When a line is not such an object, or both languages are one.
    pub fn read_json_lines(path: &Path, source: &str, target: &str) -> Result<Self> {
        Self::parse_json_lines(&shown(path), file::open(path)?, source, target)
    }

    /// Reads JSON lines from a source. The name is for messages.
    ///
    /// # Errors
    /// As [`Parallel::read_json_lines`].
    pub fn parse_json_lines(
        name: &str,
        json: impl Read,
        source: &str,
        target: &str,
    ) -> Result<Self> {
        let mut lines = Lines::new(name, json);
        check_different(&lines, source, target)?;
        let mut parallel = Self::default();
        while let Some(line) = lines.read_text()? {
            let read = texts(line, [source, target]);
            let [source, target] = read.map_err(|message| lines.refused(&message))?;
            parallel.push_line(&source, &target);
        }
        parallel.check(&lines, "source", |pair| &pair.source)?;
        parallel.check(&lines, "target", |pair| &pair.target)?;
        Ok(parallel)
    }

    /// Appends the pair of a line that has both texts.
    fn push_line(&mut self, source: &str, target: &str) {
        self.lines_with_controls += usize::from(has_controls(source) || has_controls(target));
        self.push(source, target);
    }

    fn push(&mut self, source: &str, target: &str) {
        self.pairs.push(Pair { source: normalised(source), target: normalised(target) });
    }

    /// Checks that one side of the pairs has text.
    fn check<R: Read>(
        &self,
        lines: &Lines<R>,
        side: &str,
        text: impl Fn(&Pair) -> &str,
    ) -> Result<()> {
        match self.pairs.iter().any(|pair| !text(pair).is_empty()) {
            true => Ok(()),
            false if lines.number() == 0 => Err(empty(lines)),
            false => Err(Error::input(format!(
                "{}: no line has a sentence in the {side} language; write one sentence a line",
                lines.name()
            ))),
        }
    }
}

fn empty<R: Read>(lines: &Lines<R>) -> Error {
    Error::input(format!("{}: it is empty; write one sentence a line", lines.name()))
}

/// Checks that source and target are different columns or languages.
fn check_different<R: Read>(lines: &Lines<R>, source: &str, target: &str) -> Result<()> {
    match source != target {
        true => Ok(()),
        false => Err(Error::input(format!(
            "{}: source and target are both {}; name two",
            lines.name(),
            quoted(source)
        ))),
    }
}

/// Returns the places of the languages in a header.
fn header(line: &str, languages: [&str; 2]) -> std::result::Result<[usize; 2], String> {
    let names: Vec<String> = line.split('\t').map(|cell| normalised(&unquoted(cell))).collect();
    let place = |language: &str| {
        names.iter().position(|name| name == language).ok_or_else(|| {
            format!(
                "there is no column {}; the columns are {}",
                quoted(language),
                listed(names.iter().map(String::as_str))
            )
        })
    };
    Ok([place(languages[0])?, place(languages[1])?])
}

/// Returns the texts of two cells of a row.
fn cells(line: &str, places: [usize; 2]) -> std::result::Result<[String; 2], String> {
    let cell = |place: usize| {
        let text = line.split('\t').nth(place).map(unquoted).map(Cow::into_owned);
        text.ok_or_else(|| {
            format!(
                "it has no column {}; the columns are separated by a tab, and it has {}",
                place.saturating_add(1),
                line.split('\t').count()
            )
        })
    };
    Ok([cell(places[0])?, cell(places[1])?])
}

/// Removes the quotes of a cell that a writer of CSV has quoted because of the quotes inside, which
/// it has doubled. A sentence that is one quotation has no doubled quotes and keeps its own.
fn unquoted(cell: &str) -> Cow<'_, str> {
    let trimmed = cell.trim();
    let inside = trimmed.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match inside {
        Some(inside) if inside.contains('"') && !inside.replace("\"\"", "").contains('"') => {
            Cow::Owned(inside.replace("\"\"", "\""))
        }
        _ => Cow::Borrowed(cell),
    }
}

/// Returns the texts of a JSON line in two languages.
fn texts(line: &str, languages: [&str; 2]) -> std::result::Result<[String; 2], String> {
    let value: Value = serde_json::from_str(line).map_err(|error| {
        let message = error.to_string();
        let reason = message.split(" at line ").next().unwrap_or_default();
        format!(
            "it is not valid JSON at byte {} ({reason}); write one object a line",
            error.column()
        )
    })?;
    let Value::Object(mut object) = value else {
        return Err("it is not a JSON object; write one object a line".to_owned());
    };
    if let Some(Value::Object(inner)) = object.get_mut(TRANSLATION) {
        object = std::mem::take(inner);
    }
    let mut text = |language: &str| match object.get_mut(language) {
        Some(Value::String(text)) => Ok(std::mem::take(text)),
        Some(_) => Err(format!("the value of {} is not a text", quoted(language))),
        None => {
            let keys = match object.is_empty() {
                true => "the object is empty".to_owned(),
                false => format!("the keys are {}", listed(object.keys().map(String::as_str))),
            };
            Err(format!("there is no language {}; {keys}", quoted(language)))
        }
    };
    Ok([text(languages[0])?, text(languages[1])?])
}

#[cfg(test)]
mod tests {
    use zor_random::Random;

    use super::*;
    use crate::text::normalisation::tests::text;

    const EN_PCM: Columns<'static> = Columns::Languages("en", "pcm");

    fn aligned(source: &[u8], target: &[u8]) -> Result<Parallel> {
        Parallel::parse_lines(("a.en", source), ("a.pcm", target))
    }

    fn tsv(bytes: &[u8], columns: Columns<'_>) -> Result<Parallel> {
        Parallel::parse_tsv("a.tsv", bytes, columns)
    }

    fn json(bytes: &[u8]) -> Result<Parallel> {
        Parallel::parse_json_lines("a.json", bytes, "en", "pcm")
    }

    fn pairs(read: Result<Parallel>) -> Vec<(String, String)> {
        read.unwrap().pairs.into_iter().map(|pair| (pair.source, pair.target)).collect()
    }

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|&(source, target)| (source.to_owned(), target.to_owned())).collect()
    }

    fn refused(read: Result<Parallel>, expected: &str) {
        let message = read.unwrap_err().to_string();
        assert!(message.starts_with(expected) && !message.contains('\n'), "{message}");
    }

    #[test]
    fn two_files_are_read_line_by_line() {
        let read = aligned(b"\xef\xbb\xbfone  two\r\n\nthree\n", b"a\n b\t\nc");
        assert_eq!(pairs(read), owned(&[("one two", "a"), ("", "b"), ("three", "c")]));
        let folder = tempfile::tempdir().unwrap();
        let (source, target) = (folder.path().join("a.en"), folder.path().join("a.pcm"));
        std::fs::write(&source, "one\n").unwrap();
        refused(Parallel::read_lines(&source, &target), &shown(&target));
        std::fs::write(&target, "a\n").unwrap();
        assert_eq!(pairs(Parallel::read_lines(&source, &target)), owned(&[("one", "a")]));
    }

    #[test]
    fn control_characters_are_removed_and_their_lines_counted() {
        let read = aligned(b"a\xc2\x9d\tb\nc\0\x07\nd\n", b"e\n\x1bf\ng\n").unwrap();
        assert_eq!(read.lines_with_controls, 3);
        assert_eq!(pairs(Ok(read)), owned(&[("a b", "e"), ("c", "f"), ("d", "g")]));
        let read = tsv(b"a\x07\tb\x07\nc\td\n", Columns::Numbers(1, 2)).unwrap();
        assert_eq!(read.lines_with_controls, 1);
        assert_eq!(json(br#"{"en": "a\u0007", "pcm": "b"}"#).unwrap().lines_with_controls, 1);
    }

    #[test]
    fn files_of_different_numbers_of_lines_are_refused_with_both_numbers() {
        refused(aligned(b"a\nb\nc\n", b"d\n"), "a.en: it has 3 lines and a.pcm has 1; ");
        refused(aligned(b"a\n", b"d\n\n"), "a.en: it has 1 lines and a.pcm has 2; ");
    }

    #[test]
    fn a_file_without_text_is_refused() {
        refused(aligned(b"", b"a\n"), "a.en: it is empty; ");
        refused(aligned(b"a\n", b""), "a.pcm: it is empty; ");
        refused(aligned(b"a\n", b" \n"), "a.pcm: no line has a sentence in the target language; ");
        refused(tsv(b"", Columns::Numbers(1, 2)), "a.tsv: it is empty; ");
        refused(tsv(b"", EN_PCM), "a.tsv: it is empty; ");
        refused(tsv(b"en\tpcm\n", EN_PCM), "a.tsv: no line has a sentence in the source");
        refused(json(b"\n \n"), "a.json: no line has a sentence in the source language; ");
        refused(json(b""), "a.json: it is empty; ");
    }

    #[test]
    fn columns_are_found_by_number_and_by_language() {
        let table = b"id\tpcm\ten\n\n1\tdem\tthey\r\n2\twey\twhich\textra\n";
        assert_eq!(pairs(tsv(table, EN_PCM)), owned(&[("they", "dem"), ("which", "wey")]));
        let numbered = pairs(tsv(table, Columns::Numbers(2, 1)));
        assert_eq!(numbered[1..], owned(&[("dem", "1"), ("wey", "2")]));
        let marked = b"\xef\xbb\xbfen\tpcm\na\tb\n";
        assert_eq!(pairs(tsv(marked, EN_PCM)), owned(&[("a", "b")]));
    }

    #[test]
    fn tables_that_lack_a_column_are_refused() {
        refused(tsv(b"a\tb\nc\n", Columns::Numbers(1, 2)), "a.tsv, line 2: it has no column 2; ");
        refused(
            tsv(b"en\tfr\n", EN_PCM),
            "a.tsv, line 1: there is no column 'pcm'; the columns are 'en', 'fr'",
        );
        refused(tsv(b"en\tpcm\n\na\n", EN_PCM), "a.tsv, line 3: it has no column 2; ");
        refused(tsv(b"a\tb\n", Columns::Numbers(0, 1)), "a.tsv: there is no column 0; ");
        refused(tsv(b"a\tb\n", Columns::Numbers(2, 2)), "a.tsv: source and target are both '2'");
        refused(tsv(b"a\tb\n", Columns::Numbers(1, usize::MAX)), "a.tsv, line 1: it has no column");
        refused(
            tsv(b"a\tb\n", Columns::Languages("en", "en")),
            "a.tsv: source and target are both 'en'",
        );
    }

    #[test]
    fn quotes_of_csv_are_removed_and_those_of_a_sentence_kept() {
        let table = "\"\"\"Go,\"\" he said\"\tb\n\"Go!\"\t\"Stop\" and \"go\"\n\"\t\"\"\n";
        let expected =
            [("\"Go,\" he said", "b"), ("\"Go!\"", "\"Stop\" and \"go\""), ("\"", "\"\"")];
        assert_eq!(pairs(tsv(table.as_bytes(), Columns::Numbers(1, 2))), owned(&expected));
    }

    #[test]
    fn json_lines_have_their_texts_at_the_top_or_under_translation() {
        let lines = br#"{"translation": {"en": "they", "pcm": "dem\n"}}

            {"pcm": "w\u00e9y", "id": 3, "en": "wh\ud83d\ude00"}"#;
        assert_eq!(pairs(json(lines)), owned(&[("they", "dem"), ("wh😀", "wéy")]));
    }

    #[test]
    fn json_that_lacks_a_language_is_refused_with_its_keys() {
        refused(
            json(b"{\"en\": \"a\", \"pcm\": \"b\"}\n{\"translation\": {\"en\": \"a\", \"fr\": \"b\"}}"),
            "a.json, line 2: there is no language 'pcm'; the keys are 'en', 'fr'",
        );
        refused(json(b"{}"), "a.json, line 1: there is no language 'en'; the object is empty");
        refused(
            json(b"{\"en\": 1, \"pcm\": 2}"),
            "a.json, line 1: the value of 'en' is not a text",
        );
        refused(json(b"[1]"), "a.json, line 1: it is not a JSON object; ");
        refused(json(b"\n{\"en\": }"), "a.json, line 2: it is not valid JSON at byte 8 (expected");
        refused(json(&b"[".repeat(1 << 19)), "a.json, line 1: it is not valid JSON at byte");
        refused(json(b"{\"en\": \"\\ud800\"}"), "a.json, line 1: it is not valid JSON");
    }

    #[test]
    fn invalid_text_is_refused_with_line_and_byte() {
        refused(aligned(b"a\nb\n", b"c\nd\xff\n"), "a.pcm, line 2, byte 2: it is not UTF-8");
        refused(tsv(b"a\xc3\tb", Columns::Numbers(1, 2)), "a.tsv, line 1, byte 2: it is not UTF-8");
        refused(json(b"\xfe\xff"), "a.json, line 1: it is UTF-16");
    }

    #[test]
    fn random_texts_are_read_in_their_normal_form_in_all_formats() {
        let mut random = Random::seeded(8);
        for _ in 0..300 {
            let mut line = || {
                let text = text(&mut random, 30).replace(['\t', '\n', '\r', '"', '\u{feff}'], "-");
                format!("x{text}")
            };
            let (source, target) = (line(), line());
            let expected = [(normalised(&source), normalised(&target))];
            let aligned = aligned(source.as_bytes(), target.as_bytes());
            let table = format!("{source}\t{target}\n");
            let object = serde_json::json!({"en": source, "pcm": target}).to_string();
            assert_eq!(pairs(aligned), expected);
            assert_eq!(pairs(tsv(table.as_bytes(), Columns::Numbers(1, 2))), expected);
            assert_eq!(pairs(json(object.as_bytes())), expected);
        }
    }

    #[test]
    fn random_bytes_are_an_error_or_text() {
        let mut random = Random::seeded(9);
        for _ in 0..2_000 {
            let mut bytes: Vec<u8> = (0..random.below(60))
                .map(|_| match random.below(3) {
                    0 => random.below(256) as u8,
                    _ => b"{}[]\":,\\u0en\tpcm\n\r\"\"  "[random.below(22)],
                })
                .collect();
            let _ = tsv(&bytes, EN_PCM).map(|read| read.pairs.len());
            let _ = tsv(&bytes, Columns::Numbers(1, 2)).map(|read| read.pairs.len());
            let _ = json(&bytes).map(|read| read.pairs.len());
            bytes.extend_from_slice(b"\nx");
            let _ = aligned(&bytes, b"a\nb").map(|read| read.pairs.len());
        }
    }
}
