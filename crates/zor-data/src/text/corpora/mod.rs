//! Named corpora of sentence pairs, and a sample inside this crate.
//!
//! A corpus is read from a folder that the user names, `ZOR_DATA_DIR`, or the user's cache. It can
//! be downloaded into the cache, from fixed commits and with pinned digests. Most corpora have
//! training, development and test pairs. Two are split here:
//!
//! - `en-hau`: the pairs of all kits of Gamayun. The first byte of the SHA-256 of the English
//!   sentence in its normal form decides: below 12 test, 12 to 23 development, else training.
//! - `en-swa-free`: training pairs of Global Voices; the first 971 pairs of TICO-19 are for
//!   development and the others for the test.

mod find;
mod known;
mod sample;
mod tmx;

use std::collections::HashSet;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result, listed, quoted, shown};
use crate::fetch::Locations;
use crate::text::corpora::find::{Finder, HOST};
use crate::text::corpora::known::{Files, KNOWN, Known};
use crate::text::parallel::{Pair, Parallel};

pub use sample::sample;

/// Number of development pairs of TICO-19.
const TICO_DEV: usize = 971;

/// Sentence pairs of a corpus for training, development and test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corpus {
    /// Training pairs.
    pub train: Vec<Pair>,
    /// Development pairs.
    pub dev: Vec<Pair>,
    /// Test pairs.
    pub test: Vec<Pair>,
    /// Codes of the source and the target language.
    pub languages: [String; 2],
    /// Name of the corpus.
    pub name: String,
    /// Origin of the files, for messages.
    pub source: String,
    /// Licence in one sentence.
    pub licence: &'static str,
}

/// Names of all corpora.
pub fn names() -> Vec<&'static str> {
    KNOWN.iter().map(|known| known.name).collect()
}

/// Licence of a corpus in one sentence.
///
/// # Errors
/// When the name is unknown. The message lists all names.
pub fn licence(name: &str) -> Result<&'static str> {
    Ok(named(name)?.licence)
}

/// Loads a corpus from the first location that has it, or else downloads it into the cache. A
/// download first passes the licence, then the files and their places, to `tell`.
///
/// # Errors
/// When the name is unknown, a folder that the user named lacks a file, or a download fails. When a
/// file is damaged, or a downloaded file is not the official one.
pub fn load(name: &str, locations: &Locations, tell: &mut dyn FnMut(&str)) -> Result<Corpus> {
    load_from(named(name)?, HOST, locations, tell)
}

fn named(name: &str) -> Result<&'static Known> {
    KNOWN.iter().find(|known| known.name == name).ok_or_else(|| {
        let names = listed(names());
        Error::input(format!("there is no corpus {}; the corpora are {names}", quoted(name)))
    })
}

/// Loads a corpus. Downloads come from a host.
fn load_from(
    known: &Known,
    host: &str,
    locations: &Locations,
    tell: &mut dyn FnMut(&str),
) -> Result<Corpus> {
    let (found, told_licence) = (Vec::new(), false);
    let mut finder = Finder { known, locations, host, tell, found, told_licence };
    let [source, target] = known.languages;
    let [train, dev, test] = match &known.files {
        Files::Splits(part) => {
            let folder = finder.folder(part)?;
            let read = |name| lines(&folder, name, known.languages);
            [read("train")?, read("dev")?, read("test")?]
        }
        Files::Kits(part) => {
            let folder = finder.folder(part)?;
            let kits = part.official.files.iter().filter_map(|(name, _)| {
                name.strip_suffix(source).and_then(|name| name.strip_suffix('.'))
            });
            let mut pairs = Vec::new();
            for kit in kits {
                pairs.extend(lines(&folder, kit, [source, target])?);
            }
            split_by_digest(pairs)
        }
        Files::Free { train, lines: texts, archive } => {
            let folder = finder.folder(train)?;
            let train = lines(&folder, "train", known.languages)?;
            let path = finder.lines_or_archive(texts, archive)?;
            let mut dev = match path.is_file() {
                true => tmx::read(&path, ["en", "sw"])?,
                false => lines(&path, "en-sw", ["en", "sw"])?,
            };
            let test = dev.split_off(TICO_DEV.min(dev.len()));
            [train, dev, test]
        }
    };
    let source: Vec<String> = finder.found.iter().map(shown).collect();
    let source = source.join(" and ");
    for (pairs, aim) in [(&train, "training"), (&dev, "development"), (&test, "the test")] {
        if pairs.is_empty() {
            return Err(Error::input(format!(
                "{source}: no pair of {} is for {aim}; put the whole files there, or name another \
                 folder",
                known.name
            )));
        }
    }
    Ok(Corpus {
        train,
        dev,
        test,
        languages: known.languages.map(str::to_owned),
        name: known.name.to_owned(),
        source,
        licence: known.licence,
    })
}

/// Reads `NAME.SOURCE` and `NAME.TARGET` of a folder.
fn lines(folder: &Path, name: &str, languages: [&str; 2]) -> Result<Vec<Pair>> {
    let [source, target] = languages.map(|language| folder.join(format!("{name}.{language}")));
    Ok(Parallel::read_lines(&source, &target)?.pairs)
}

/// Splits pairs into training, development and test pairs by the digest of the source. Drops the
/// pairs whose source has an earlier pair.
fn split_by_digest(pairs: Vec<Pair>) -> [Vec<Pair>; 3] {
    let mut seen = HashSet::new();
    let [mut train, mut dev, mut test] = [Vec::new(), Vec::new(), Vec::new()];
    for pair in pairs {
        if !seen.insert(pair.source.clone()) {
            continue;
        }
        match Sha256::digest(&pair.source)[0] {
            0..12 => test.push(pair),
            12..24 => dev.push(pair),
            _ => train.push(pair),
        }
    }
    [train, dev, test]
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::ErrorKind;

    /// Loads a corpus from `ZOR_DATA_DIR`, with digests checked, if all of its files are there.
    pub(crate) fn at_hand(name: &str) -> Option<Corpus> {
        let base = PathBuf::from(std::env::var_os("ZOR_DATA_DIR")?);
        let known = named(name).unwrap();
        let parts = match &known.files {
            Files::Splits(part) | Files::Kits(part) => vec![*part],
            Files::Free { train, lines, .. } => vec![*train, lines],
        };
        let has_file = |folder: &str, file: &str| base.join(folder).join(file).is_file();
        let is_there = parts
            .iter()
            .all(|part| part.files().all(|(file, ..)| has_file(part.official.folder, file)));
        let locations = Locations { cache: Some(base.clone()), ..Locations::default() };
        is_there.then(|| load(name, &locations, &mut |line| panic!("{line}")).unwrap())
    }

    fn pair(source: &str, target: &str) -> Pair {
        Pair { source: source.to_owned(), target: target.to_owned() }
    }

    fn in_folder(folder: &Path) -> Locations {
        Locations { data_dir: Some(folder.to_path_buf()), ..Locations::default() }
    }

    fn in_cache(folder: &Path) -> Locations {
        Locations { cache: Some(folder.to_path_buf()), ..Locations::default() }
    }

    fn loaded(name: &str, locations: &Locations) -> Result<Corpus> {
        load(name, locations, &mut |line| panic!("nothing is downloaded: {line}"))
    }

    fn refused(read: Result<Corpus>, words: &[&str]) {
        let error = read.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input);
        for word in words {
            assert!(error.to_string().contains(word), "'{word}' is not in: {error}");
        }
    }

    /// Writes files of lines into a folder. Each has its own name as its lines.
    fn write(folder: &Path, files: &[(&str, usize)]) {
        fs::create_dir_all(folder).unwrap();
        for (name, n_lines) in files {
            let lines: String = (1..=*n_lines).map(|line| format!("{name} {line}\n")).collect();
            fs::write(folder.join(name), lines).unwrap();
        }
    }

    const SPLITS: [(&str, usize); 6] = [
        ("train.en", 3),
        ("train.pcm", 3),
        ("dev.en", 2),
        ("dev.pcm", 2),
        ("test.en", 1),
        ("test.pcm", 1),
    ];

    #[test]
    fn an_unknown_name_is_refused_with_all_names() {
        let nowhere = Locations::default();
        for error in [licence("en-pc").map(|_| ()), loaded("en-pc", &nowhere).map(|_| ())] {
            let message = error.unwrap_err().to_string();
            assert!(message.starts_with("there is no corpus 'en-pc'; "), "{message}");
            assert!(names().iter().all(|name| message.contains(&quoted(name))), "{message}");
        }
        assert_eq!(names().len(), names().iter().collect::<HashSet<_>>().len());
    }

    #[test]
    fn licences_are_one_sentence() {
        for name in names() {
            let licence = licence(name).unwrap();
            assert!(licence.ends_with('.') && !licence.contains(['\n']), "{licence}");
            assert!(!licence.contains("  ") && licence.len() < 200, "{licence}");
        }
        assert!(licence("fr-wol").unwrap().contains("no commercial use"));
    }

    #[test]
    fn a_folder_is_searched_with_and_without_the_name_of_the_corpus() {
        for inside in ["lafand-en-pcm", ""] {
            let base = tempfile::tempdir().unwrap();
            let folder = base.path().join(inside);
            write(&folder, &SPLITS);
            let variable = Locations {
                variable: Some(base.path().to_path_buf()),
                ..in_cache(Path::new("/nowhere"))
            };
            for locations in [in_folder(base.path()), variable] {
                let corpus = loaded("en-pcm", &locations).unwrap();
                let sizes = [&corpus.train, &corpus.dev, &corpus.test].map(Vec::len);
                assert_eq!(sizes, [3, 2, 1]);
                assert_eq!(corpus.train[1], pair("train.en 2", "train.pcm 2"));
                assert_eq!(corpus.test, [pair("test.en 1", "test.pcm 1")]);
                assert_eq!(corpus.languages, ["en", "pcm"]);
                assert!(Path::new(&corpus.source).ends_with(inside), "{}", corpus.source);
            }
        }
    }

    #[test]
    fn a_missing_file_is_named_with_its_folder() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("lafand-en-pcm");
        write(&folder, &SPLITS[..5]);
        let words =
            ["there is no test.pcm", "--data-dir", "put the 6 MAFAND-MT en-pcm files there"];
        refused(loaded("en-pcm", &in_folder(base.path())), &words);
        refused(loaded("en-pcm", &in_folder(base.path())), &[&shown(&folder)]);
    }

    #[test]
    fn files_of_different_lengths_are_refused() {
        let base = tempfile::tempdir().unwrap();
        write(base.path(), &SPLITS);
        write(base.path(), &[("dev.pcm", 3)]);
        refused(loaded("en-pcm", &in_folder(base.path())), &["dev.en", "2 lines", "dev.pcm has 3"]);
    }

    #[test]
    fn files_in_the_cache_must_be_the_official_ones() {
        let base = tempfile::tempdir().unwrap();
        write(&base.path().join("lafand-en-pcm"), &SPLITS);
        let words = ["train.en", "not the official ones", "delete it"];
        refused(loaded("en-pcm", &in_cache(base.path())), &words);
    }

    #[test]
    fn kits_are_joined_in_their_order_and_split_by_digest() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("gamayun-en-hau");
        let kits = ["kit5k", "kit10k", "kit15k"];
        for kit in kits {
            write(&folder, &[(&format!("{kit}.en"), 100), (&format!("{kit}.hau"), 100)]);
        }
        let corpus = loaded("en-hau", &in_folder(base.path())).unwrap();
        let mut splits: [Vec<Pair>; 3] = Default::default();
        for kit in kits {
            for line in 1..=100 {
                let pair = pair(&format!("{kit}.en {line}"), &format!("{kit}.hau {line}"));
                let first = Sha256::digest(&pair.source)[0];
                let split = if first < 12 { 2 } else { usize::from(first < 24) };
                splits[split].push(pair);
            }
        }
        assert_eq!([corpus.train, corpus.dev, corpus.test], splits);
    }

    #[test]
    fn pairs_with_a_repeated_source_are_dropped() {
        // SHA-256 of "abc" starts with ba, that of "a60" with 17 and that of "a51" with 01.
        let [train, dev, test] = split_by_digest(vec![
            pair("abc", "1"),
            pair("a60", "2"),
            pair("abc", "3"),
            pair("a51", "4"),
            pair("a51", "5"),
        ]);
        assert_eq!(train, [pair("abc", "1")]);
        assert_eq!(dev, [pair("a60", "2")]);
        assert_eq!(test, [pair("a51", "4")]);
    }

    #[test]
    fn the_free_corpus_has_two_folders_and_its_test_is_lines_or_an_archive() {
        let base = tempfile::tempdir().unwrap();
        write(&base.path().join("lafand-en-swa"), &[("train.en", 3), ("train.swa", 3)]);
        let folder = base.path().join("tico19-en-swa");
        fs::create_dir_all(&folder).unwrap();
        let load = || loaded("en-swa-free", &in_folder(base.path()));
        refused(load(), &["there is no en-sw.en", "all.en-sw.tmx.zip", "github.com/tico-19"]);

        let texts: Vec<[String; 2]> =
            (1..=973).map(|line| ["en", "sw"].map(|side| format!("en-sw.{side} {line}"))).collect();
        let units: Vec<(&str, &str)> = texts.iter().map(|[en, sw]| (&**en, &**sw)).collect();
        let archive = tmx::tests::zipped("all.en-sw.tmx", &tmx::tests::units(&units));
        fs::write(folder.join("all.en-sw.tmx.zip"), archive).unwrap();
        let zipped = load().unwrap();
        assert_eq!([zipped.train.len(), zipped.dev.len()], [3, TICO_DEV]);
        let test =
            [972, 973].map(|line| pair(&format!("en-sw.en {line}"), &format!("en-sw.sw {line}")));
        assert_eq!(zipped.test, test);
        assert!(zipped.source.contains("lafand-en-swa and "), "{}", zipped.source);
        assert!(zipped.source.ends_with(".zip"), "{}", zipped.source);

        write(&folder, &[("en-sw.en", 973), ("en-sw.sw", 973)]);
        let plain = load().unwrap();
        assert_eq!((&plain.dev, &plain.test), (&zipped.dev, &zipped.test));
        write(&folder, &[("en-sw.en", 971), ("en-sw.sw", 971)]);
        refused(load(), &["no pair of en-swa-free is for the test", "put the whole files"]);
    }

    #[test]
    fn a_wrong_archive_in_the_cache_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let Files::Free { lines, archive, .. } = &named("en-swa-free").unwrap().files else {
            panic!("the arrangement has changed")
        };
        write(&base.path().join("tico19-en-swa"), &[("all.en-sw.tmx.zip", 1)]);
        let known = named("en-swa-free").unwrap();
        let locations = in_cache(base.path());
        let mut finder = Finder {
            known,
            locations: &locations,
            host: "",
            tell: &mut |line| panic!("{line}"),
            found: Vec::new(),
            told_licence: false,
        };
        let message = finder.lines_or_archive(lines, archive).unwrap_err().to_string();
        assert!(message.contains("all.en-sw.tmx.zip: its contents are not"), "{message}");
    }

    #[test]
    fn the_corpora_have_their_numbers_of_pairs() {
        for (name, expected) in [
            ("en-pcm", [4_790, 1_484, 1_564]),
            ("en-swa", [30_782, 1_791, 1_835]),
            ("fr-wol", [3_360, 1_506, 1_500]),
            ("fr-ewe", [2_026, 1_414, 1_563]),
            ("en-hau", [27_084, 1_424, 1_492]),
            ("fr-bam", [37_580, 4_698, 4_698]),
            ("en-swa-free", [30_782, 971, 2_100]),
        ] {
            if let Some(corpus) = at_hand(name) {
                let sizes = [&corpus.train, &corpus.dev, &corpus.test].map(Vec::len);
                assert_eq!(sizes, expected, "{name}");
            }
        }
    }

    #[cfg(not(feature = "download"))]
    #[test]
    fn without_downloads_an_error_names_files_and_folder() {
        let words = [
            "https://github.com/translatorswb/Gamayun-kits, commit 0a08",
            "subfolder gamayun-en-hau",
        ];
        let nowhere = in_cache(Path::new("/nowhere"));
        refused(loaded("en-hau", &nowhere), &words);
        refused(
            loaded("en-hau", &nowhere),
            &["kit5k-v1_eng-hau_ENG.txt as kit5k.en", "--data-dir"],
        );
    }

    #[cfg(feature = "download")]
    mod download {
        use std::io::Write;
        use std::net::TcpListener;
        use std::sync::{Arc, Mutex};

        use super::*;
        use crate::fetch::digest::digest_of;
        use crate::fetch::download::tests::request_head;
        use crate::fetch::locations::Official;
        use crate::text::corpora::known::{Part, Paths};

        /// Serves the path of a request as its body. Returns the address and the log of the paths.
        fn serve() -> (String, Arc<Mutex<Vec<String>>>) {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = format!("http://{}", listener.local_addr().unwrap());
            let log = Arc::new(Mutex::new(Vec::new()));
            let seen = log.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming().take(16) {
                    let mut stream = stream.unwrap();
                    let path = request_head(&stream)[0].split(' ').nth(1).unwrap().to_owned();
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", path.len());
                    seen.lock().unwrap().push(path.clone());
                    let _ = stream.write_all(format!("{head}{path}").as_bytes());
                }
            });
            (address, log)
        }

        /// A corpus of six files in the folder `a` whose contents are their paths.
        fn known(commit: &'static str) -> Known {
            let paths = ["b/x.txt", "b/y.txt", "c/dev.en", "c/dev.hau", "test.en", "test.hau"];
            let names = ["train.en", "train.hau", "dev.en", "dev.hau", "test.en", "test.hau"];
            let files = names.iter().zip(paths).map(|(name, path)| {
                let digest = digest_of(format!("/me/mine/1234/{path}").as_bytes()).unwrap();
                (*name, &*digest.leak())
            });
            let files: Vec<(&str, &str)> = files.collect();
            Known {
                name: "mine",
                languages: ["en", "hau"],
                licence: "CC0 1.0.",
                files: Files::Splits(Box::leak(Box::new(Part {
                    official: Official {
                        set: "Mine en-hau",
                        folder: "a",
                        files: files.leak(),
                        gzipped: false,
                        system: None,
                    },
                    repository: "me/mine",
                    commit,
                    paths: Paths::Each(paths.to_vec().leak()),
                    size: "1 MB",
                }))),
            }
        }

        #[test]
        fn the_licence_comes_before_the_first_request_and_files_come_once() {
            let (host, log) = serve();
            let base = tempfile::tempdir().unwrap();
            let (known, locations) = (known("1234"), in_cache(base.path()));
            let lines = log.clone();
            let mut tell = |line: &str| lines.lock().unwrap().push(line.to_owned());
            let first = load_from(&known, &host, &locations, &mut tell).unwrap();
            assert_eq!(first.train, [pair("/me/mine/1234/b/x.txt", "/me/mine/1234/b/y.txt")]);
            let expected = format!(
                "download of Mine en-hau (1 MB) from https://github.com/me/mine to {}",
                shown(base.path().join("a"))
            );
            let told = log.lock().unwrap().clone();
            assert_eq!(told[..2], ["licence of mine: CC0 1.0.".to_owned(), expected]);
            assert_eq!(told[2], "/me/mine/1234/b/x.txt");
            assert_eq!(told.len(), 8);
            // Nothing is downloaded again, and only missing files are.
            assert_eq!(load_from(&known, &host, &locations, &mut tell).unwrap(), first);
            assert_eq!(log.lock().unwrap().len(), 8);
            fs::remove_file(base.path().join("a/dev.hau")).unwrap();
            assert_eq!(load_from(&known, &host, &locations, &mut tell).unwrap(), first);
            assert_eq!(log.lock().unwrap()[10..], ["/me/mine/1234/c/dev.hau"]);
        }

        #[test]
        fn a_download_that_is_not_the_official_file_is_refused() {
            let (host, _) = serve();
            let base = tempfile::tempdir().unwrap();
            let known = known("5678");
            let error = load_from(&known, &host, &in_cache(base.path()), &mut |_| {}).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Download);
            for words in ["train.en", "/me/mine/5678/b/x.txt", "not the official file"] {
                assert!(error.to_string().contains(words), "{error}");
            }
            assert!(!base.path().join("a/train.en").exists());
        }

        #[test]
        fn a_damaged_file_beside_missing_ones_is_refused() {
            let (host, log) = serve();
            let base = tempfile::tempdir().unwrap();
            write(&base.path().join("a"), &[("train.en", 1)]);
            let read = load_from(&known("1234"), &host, &in_cache(base.path()), &mut |_| {});
            refused(read, &["train.en", "delete it and download it again"]);
            assert!(log.lock().unwrap().is_empty());
        }
    }
}
