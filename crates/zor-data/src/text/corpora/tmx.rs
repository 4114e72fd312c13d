//! Sentence pairs of a translation memory (TMX 1.4) in a ZIP archive.
//!
//! A unit `<tu>` has a variant `<tuv xml:lang="...">` per language, with the sentence in `<seg>`.
//! Elements inside a sentence are not supported. Source of the format: Localization Industry
//! Standards Association, "TMX 1.4b Specification" (2005).

use std::io::{BufReader, Read};
use std::path::Path;

use crate::error::{Error, Result, quoted};
use crate::file;
use crate::text::normalisation::normalised;
use crate::text::parallel::Pair;

/// Maximum number of bytes of an unpacked translation memory.
const MAX_BYTES: u64 = 1 << 26;

/// Reads the first translation memory of an archive. The texts are in their normal form.
///
/// # Errors
/// When the archive cannot be read or is damaged, or a unit lacks one of the languages. The message
/// names the archive and the unit.
pub(super) fn read(archive: &Path, languages: [&str; 2]) -> Result<Vec<Pair>> {
    let file = BufReader::new(file::open(archive)?);
    let pairs = memory(file).and_then(|text| parse(&text, languages));
    pairs.map_err(|message| Error::in_file(archive, message))
}

/// Returns the text of the first translation memory of an archive.
fn memory(archive: impl Read + std::io::Seek) -> std::result::Result<String, String> {
    let damaged = |error: &dyn std::fmt::Display| {
        format!("it is damaged or no ZIP archive: {error}; download it again")
    };
    let mut archive = zip::ZipArchive::new(archive).map_err(|error| damaged(&error))?;
    let name = archive.file_names().find(|name| name.ends_with(".tmx")).map(str::to_owned);
    let name = name.ok_or("there is no .tmx file in it; download the archive of TICO-19")?;
    let entry = archive.by_name(&name).map_err(|error| damaged(&error))?;
    let mut text = String::new();
    entry.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|error| damaged(&error))?;
    match text.len() as u64 > MAX_BYTES {
        false => Ok(text),
        true => Err(format!("its {} has over {MAX_BYTES} bytes", quoted(&name))),
    }
}

/// Parses a translation memory.
fn parse(text: &str, languages: [&str; 2]) -> std::result::Result<Vec<Pair>, String> {
    let mut units: Vec<&str> = text.split("</tu>").collect();
    let rest = units.pop().unwrap_or_default();
    if rest.contains("<seg>") || units.is_empty() {
        return Err(format!(
            "it is cut short after {} units of translation; download it again",
            units.len()
        ));
    }
    let pair = |unit| {
        let [source, target] = languages.map(|language| segment(unit, language));
        Ok(Pair { source: normalised(&source?), target: normalised(&target?) })
    };
    let pairs = units.into_iter().enumerate().map(|(index, unit)| {
        pair(unit).map_err(|message: String| format!("unit {}: {message}", index + 1))
    });
    pairs.collect()
}

/// Returns the sentence of a unit in a language.
fn segment(unit: &str, language: &str) -> std::result::Result<String, String> {
    let start = format!("xml:lang=\"{language}\"");
    let variant =
        unit.split("<tuv").skip(1).find(|variant| variant.trim_start().starts_with(&start));
    let variant = variant.ok_or_else(|| format!("there is no language {}", quoted(language)))?;
    let inside = variant.split_once("<seg>").and_then(|(_, rest)| rest.split_once("</seg>"));
    let (sentence, _) = inside.ok_or_else(|| format!("its {} has no <seg>", quoted(language)))?;
    match sentence.contains('<') {
        false => unescaped(sentence),
        true => Err(format!("its {} has elements inside <seg>", quoted(language))),
    }
}

/// Replaces the predefined entities of XML by their characters.
fn unescaped(text: &str) -> std::result::Result<String, String> {
    let mut pieces = text.split('&');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once(';').unwrap_or((piece, ""));
        plain.push(match name {
            "amp" => '&',
            "apos" => '\'',
            "gt" => '>',
            "lt" => '<',
            "quot" => '"',
            _ => return Err(format!("entity {} is unknown", quoted(name))),
        });
        plain.push_str(rest);
    }
    Ok(plain)
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::{Cursor, Write};

    use super::*;

    /// Units of a translation memory in English and Swahili.
    pub(crate) fn units(pairs: &[(&str, &str)]) -> String {
        let unit = |(source, target): &(&str, &str)| {
            format!(
                "<tu tuid=\"a:1\">\n<prop type=\"note\">b</prop>\n<tuv xml:lang=\"en\">\n\
                 <seg>{source}</seg></tuv>\n<tuv xml:lang=\"sw\"><seg>{target}</seg></tuv>\n</tu>\n"
            )
        };
        let units: String = pairs.iter().map(unit).collect();
        format!("<?xml version=\"1.0\"?>\n<tmx version=\"1.4\"><body>\n{units}</body>\n</tmx>\n")
    }

    /// An archive with one file.
    pub(crate) fn zipped(name: &str, text: &str) -> Vec<u8> {
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        archive.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(text.as_bytes()).unwrap();
        archive.finish().unwrap().into_inner()
    }

    fn parsed(text: &str) -> std::result::Result<Vec<Pair>, String> {
        memory(Cursor::new(zipped("a.tmx", text))).and_then(|text| parse(&text, ["en", "sw"]))
    }

    fn refused(text: &str, expected: &str) {
        let message = parsed(text).unwrap_err();
        assert!(message.starts_with(expected), "{message}");
    }

    #[test]
    fn units_are_read_in_their_order_and_normal_form() {
        let pairs = parsed(&units(&[
            ("R&amp;D &lt; &quot;it&apos;s&quot; &gt;", "a\u{2009} b"),
            ("&amp;lt;", ""),
        ]));
        let pair = |source: &str, target: &str| Pair {
            source: source.to_owned(),
            target: target.to_owned(),
        };
        assert_eq!(pairs, Ok(vec![pair("R&D < \"it's\" >", "a b"), pair("&lt;", "")]));
        let turned = parse(&units(&[("one", "moja")]), ["sw", "en"]);
        assert_eq!(turned, Ok(vec![pair("moja", "one")]));
    }

    #[test]
    fn units_that_lack_something_are_named() {
        let good = units(&[("a", "b"), ("c", "d")]);
        refused(&good.replacen("\"sw\"", "\"fr\"", 2), "unit 1: there is no language 'sw'");
        refused(&good.replace("<seg>d</seg>", ""), "unit 2: its 'sw' has no <seg>");
        refused(&good.replace('d', "<ph/>"), "unit 2: its 'sw' has elements inside <seg>");
        refused(&good.replace('c', "&eacute;"), "unit 2: entity 'eacute' is unknown");
        refused(&good.replace('c', "AT&T"), "unit 2: entity 'T' is unknown");
        refused(&good[..good.len() - 30], "it is cut short after 1 units");
        refused("<tmx></tmx>", "it is cut short after 0 units");
    }

    #[test]
    fn archives_without_a_translation_memory_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.zip");
        let refused = |bytes: &[u8], words: &str| {
            std::fs::write(&path, bytes).unwrap();
            let message = read(&path, ["en", "sw"]).unwrap_err().to_string();
            assert!(message.starts_with(&crate::error::shown(&path)), "{message}");
            assert!(message.contains(words), "{message}");
        };
        refused(b"no archive", "no ZIP archive");
        refused(&zipped("a.txt", "a"), "there is no .tmx file");
        let archive = zipped("a.tmx", &units(&[("a", "b")]));
        refused(&archive[..archive.len() / 2], "damaged");
    }
}
