//! CIFAR-10 (Krizhevsky 2009): 60,000 colour photographs, 32x32, ten classes.
//!
//! The binary version: 10,000 records per file, each a byte for the class and three planes of 1,024
//! bytes, red, green and blue. It is read from the unpacked folder `cifar-10-batches-bin` or from
//! the official archive `cifar-10-binary.tar.gz`. Source of the format:
//! <https://www.cs.toronto.edu/~kriz/cifar.html>.

use std::fs;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::GzDecoder;

use crate::error::{Error, Result, shown};
use crate::fetch::locations::{Locations, Official, Source};
use crate::file;
use crate::vision::images::{ImageShape, Images};

/// Names of the classes, by label.
pub const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// Names of the official files, five of training images and one of test images, and the SHA-256 of
/// each.
pub const FILES: [(&str, &str); 6] = [
    ("data_batch_1.bin", "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"),
    ("data_batch_2.bin", "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"),
    ("data_batch_3.bin", "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"),
    ("data_batch_4.bin", "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"),
    ("data_batch_5.bin", "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"),
    ("test_batch.bin", "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"),
];

/// Name of the official archive.
pub const ARCHIVE: &str = "cifar-10-binary.tar.gz";

/// Address of the archive. Untested.
#[cfg(feature = "download")]
const ADDRESSES: &[&str] = &["http://www.cs.toronto.edu/~kriz"];

const OFFICIAL: Official = Official {
    set: "CIFAR-10",
    folder: "cifar-10-batches-bin",
    files: &FILES,
    gzipped: false,
    system: None,
};

/// Shape of every image.
pub const SHAPE: ImageShape = ImageShape { height: 32, width: 32, channels: 3 };
const PLANE: usize = SHAPE.height * SHAPE.width;
const RECORD: usize = 1 + 3 * PLANE;
/// Maximum size of a file, and of an unpacked archive, in bytes. An official file has 10,000
/// records; other files of this format may have more.
const MAX_BYTES: u64 = 1 << 30;

/// Training and test images of CIFAR-10.
#[derive(Clone, Debug)]
pub struct Cifar10 {
    /// Training images: 50,000.
    pub train: Images,
    /// Test images: 10,000.
    pub test: Images,
    /// Origin of the images.
    pub source: Source,
}

impl Cifar10 {
    /// Loads the data set from the first location that has it. Nothing is downloaded.
    ///
    /// # Errors
    /// When no location has it, a folder that the user named lacks a file, or a file is damaged.
    pub fn load(locations: &Locations) -> Result<Self> {
        match find(locations)? {
            Some(path) if path.is_file() => Self::from_archive(&path),
            Some(path) => Self::from_folder(&path),
            None => Err(Error::input(
                "CIFAR-10 was not found: download it with 'zor data fetch cifar-10', or name its folder with --data-dir \
                 or ZOR_DATA_DIR",
            )),
        }
    }

    /// Loads the data set from a folder with the six files.
    ///
    /// # Errors
    /// When a file is missing or damaged.
    pub fn from_folder(folder: &Path) -> Result<Self> {
        let mut parts = Vec::new();
        for (name, _) in FILES {
            let path = OFFICIAL.path(folder, name)?;
            let refused = |error| Error::file_system(&path, "read it", &error);
            let length = fs::metadata(&path).map_err(refused)?.len();
            if length > MAX_BYTES {
                return Err(Error::in_file(
                    &path,
                    format!("it has {length} bytes; a file of CIFAR-10 has 30,730,000"),
                ));
            }
            parts.push((shown(&path), file::read(&path)?));
        }
        Self::from_parts(parts, Source::Folder(folder.to_path_buf()))
    }

    /// Loads the data set from the official archive.
    ///
    /// # Errors
    /// When the archive is damaged or lacks a file.
    pub fn from_archive(path: &Path) -> Result<Self> {
        let parts = members(path)?;
        let named =
            parts.into_iter().map(|(name, bytes)| (format!("{}, {name}", shown(path)), bytes));
        Self::from_parts(named.collect(), Source::Folder(path.to_path_buf()))
    }

    /// Downloads the data set if it is missing, verifies and unpacks it, and returns its folder.
    ///
    /// # Errors
    /// When a download fails from every address, or a file cannot be written.
    #[cfg(feature = "download")]
    pub fn fetch(locations: &Locations) -> Result<PathBuf> {
        Self::fetch_from(ADDRESSES, locations.to_fetch_to()?, &FILES)
    }

    #[cfg(feature = "download")]
    fn fetch_from(addresses: &[&str], base: &Path, files: &[(&str, &str)]) -> Result<PathBuf> {
        use crate::fetch::digest::{digest_of, verify};
        let folder = base.join(OFFICIAL.folder);
        let _lock = crate::fetch::download::lock(base);
        if files.iter().all(|(name, digest)| verify(&folder.join(name), digest).is_ok()) {
            return Ok(folder);
        }
        let archive = base.join(ARCHIVE);
        let official = |archive: &Path| {
            let members = members(archive)?;
            for ((name, bytes), (_, digest)) in members.iter().zip(files) {
                if digest_of(bytes).ok().as_deref() != Some(*digest) {
                    let message = format!(
                        "its {name} is not the official one; delete the archive and download it again"
                    );
                    return Err(Error::in_file(archive, message));
                }
            }
            Ok(members)
        };
        if !archive.is_file() {
            crate::fetch::download::fetch(addresses, &archive, &|path| official(path).map(|_| ()))?;
        }
        let members = official(&archive)?;
        fs::create_dir_all(&folder)
            .map_err(|error| Error::file_system(&folder, "make the folder", &error))?;
        for (name, bytes) in members {
            let path = folder.join(name);
            let partial = folder.join(format!("{name}.part"));
            fs::write(&partial, bytes)
                .and_then(|()| fs::rename(&partial, &path))
                .map_err(|error| Error::file_system(&path, "write it", &error))?;
        }
        fs::remove_file(&archive)
            .map_err(|error| Error::file_system(&archive, "remove it", &error))?;
        Ok(folder)
    }

    fn from_parts(parts: Vec<(String, Vec<u8>)>, source: Source) -> Result<Self> {
        let (mut images, mut labels) = (Vec::new(), Vec::new());
        let mut train = None;
        let last = parts.len().saturating_sub(1);
        for (index, (name, bytes)) in parts.into_iter().enumerate() {
            if index == last {
                let whole = (std::mem::take(&mut images), std::mem::take(&mut labels));
                train = Some(Images::new("CIFAR-10 training images", SHAPE, whole.0, whole.1, 10)?);
            }
            records(&bytes, &mut images, &mut labels)
                .map_err(|message| Error::input(format!("{name}: {message}")))?;
        }
        let test = Images::new("CIFAR-10 test images", SHAPE, images, labels, 10)?;
        let train = train.ok_or_else(|| Error::input("there are no files of CIFAR-10"))?;
        let [train, test] = [train, test].map(|set| set.with_class_names(CLASSES));
        Ok(Self { train, test, source })
    }
}

/// Returns the folder or archive that has the data set, if there is one.
///
/// # Errors
/// When a folder that the user named has neither, or a downloaded file is not the official one.
pub fn find(locations: &Locations) -> Result<Option<PathBuf>> {
    let archives = [&locations.data_dir, &locations.variable].into_iter().flatten();
    let archive = archives.take(1).map(|base| base.join(ARCHIVE)).find(|path| path.is_file());
    match (locations.find(&OFFICIAL), archive) {
        (Ok(Some(folder)), _) => Ok(Some(folder)),
        (_, Some(archive)) => Ok(Some(archive)),
        (found, None) => found,
    }
}

/// Parses the contents of a file. Returns the images, `[images, height, width, channels]`, and
/// their labels.
///
/// # Errors
/// When they are not valid. The message is the reason and the record.
pub fn parse(bytes: &[u8]) -> std::result::Result<(Vec<u8>, Vec<u8>), String> {
    let (mut images, mut labels) = (Vec::new(), Vec::new());
    records(bytes, &mut images, &mut labels)?;
    Ok((images, labels))
}

/// Parses the contents of a file, and appends its images and labels.
fn records(
    bytes: &[u8],
    images: &mut Vec<u8>,
    labels: &mut Vec<u8>,
) -> std::result::Result<(), String> {
    if bytes.is_empty() || !bytes.len().is_multiple_of(RECORD) {
        return Err(format!(
            "its {} bytes are not a multiple of the record size {RECORD}; it is cut short, or of another data set",
            bytes.len()
        ));
    }
    images.reserve(bytes.len() / RECORD * 3 * PLANE);
    for (index, record) in bytes.chunks_exact(RECORD).enumerate() {
        if record[0] > 9 {
            return Err(format!(
                "record {index} has label {}; labels are 0 to 9, so it is damaged or of another data set",
                record[0]
            ));
        }
        labels.push(record[0]);
        let planes = &record[1..];
        images.extend(
            (0..PLANE).flat_map(|at| [planes[at], planes[PLANE + at], planes[2 * PLANE + at]]),
        );
    }
    Ok(())
}

/// Unpacks the six files of an archive, in the order of [`FILES`].
fn members(archive: &Path) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let damaged = |error: std::io::Error| {
        Error::in_file(archive, format!("it is damaged or cut short: {error}; download it again"))
    };
    let file = file::open(archive)?;
    // Limits everything that is unpacked, including long file names.
    let unpacked = GzDecoder::new(BufReader::new(file)).take(MAX_BYTES);
    let mut tar = tar::Archive::new(unpacked);
    let mut found: Vec<(usize, Vec<u8>)> = Vec::new();
    for entry in tar.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let path = entry.path().map_err(damaged)?.into_owned();
        let index = FILES.iter().position(|(name, _)| path.file_name() == Some(name.as_ref()));
        let Some(index) = index.filter(|index| found.iter().all(|(other, _)| other != index))
        else {
            continue;
        };
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(damaged)?;
        found.push((index, bytes));
    }
    found.sort_by_key(|(index, _)| *index);
    let absent = (0..FILES.len()).find(|index| found.get(*index).is_none_or(|(at, _)| at != index));
    match absent {
        Some(index) => Err(Error::in_file(
            archive,
            format!("there is no {} in it; is it the binary version of CIFAR-10?", FILES[index].0),
        )),
        None => Ok(found.into_iter().map(|(index, bytes)| (FILES[index].0, bytes)).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    /// Two records per file; the first pixel of record `n` is (n, 100 + n, 200 + n).
    fn file(index: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for n in [2 * index, 2 * index + 1] {
            bytes.push((n % 10) as u8);
            for plane in 0..3 {
                let first = (100 * plane + n) as u8;
                bytes.extend((0..PLANE).map(|at| if at == 0 { first } else { 7 }));
            }
        }
        bytes
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join(OFFICIAL.folder);
        fs::create_dir_all(&inside).unwrap();
        for (index, (name, _)) in FILES.into_iter().enumerate() {
            fs::write(inside.join(name), file(index)).unwrap();
        }
        folder
    }

    fn archive(files: &[usize]) -> Vec<u8> {
        let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut tar = tar::Builder::new(gzip);
        // Not in order, and with another file, as in the official archive.
        for &index in files.iter().rev() {
            let bytes = file(index);
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            let path = format!("cifar-10-batches-bin/{}", FILES[index].0);
            tar.append_data(&mut header, path, &bytes[..]).unwrap();
        }
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        tar.append_data(&mut header, "cifar-10-batches-bin/readme.html", &b"hi!"[..]).unwrap();
        tar.into_inner().unwrap().finish().unwrap()
    }

    fn named(folder: &Path) -> Locations {
        Locations { data_dir: Some(folder.to_path_buf()), ..Locations::default() }
    }

    fn check(set: &Cifar10) {
        assert_eq!((set.train.len(), set.test.len()), (10, 2));
        assert_eq!(set.train.image(3)[..6], [3, 103, 203, 7, 7, 7]);
        assert_eq!(set.test.image(1)[..3], [11, 111, 211]);
        assert_eq!(set.train.labels(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(set.test.labels(), [0, 1]);
    }

    #[test]
    fn folder_and_archive_hold_the_same_images_channels_last() {
        let folder = folder();
        check(&Cifar10::load(&named(folder.path())).unwrap());
        check(&Cifar10::load(&named(&folder.path().join(OFFICIAL.folder))).unwrap());
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join(ARCHIVE), archive(&[0, 1, 2, 3, 4, 5])).unwrap();
        check(&Cifar10::load(&named(other.path())).unwrap());
    }

    #[cfg(feature = "download")]
    #[test]
    fn a_fetched_archive_is_unpacked_if_it_is_the_official_one() {
        use crate::fetch::download::tests::{Answer, serve};
        let digests: Vec<String> =
            (0..6).map(|index| crate::fetch::digest::digest_of(&file(index)).unwrap()).collect();
        let mut files: Vec<(&str, &str)> =
            FILES.iter().zip(&digests).map(|((name, _), digest)| (*name, &**digest)).collect();
        let (address, _) = serve(archive(&[0, 1, 2, 3, 4, 5]).leak(), Answer::Whole);
        let base = tempfile::tempdir().unwrap();
        let folder = Cifar10::fetch_from(&[&address], base.path(), &files).unwrap();
        check(&Cifar10::from_folder(&folder).unwrap());
        assert_eq!(visible(base.path()), 1, "the archive is still there");
        // A data set that is already there is not downloaded again.
        Cifar10::fetch_from(&[], base.path(), &files).unwrap();

        files[3].1 = FILES[3].1;
        let base = tempfile::tempdir().unwrap();
        let error = Cifar10::fetch_from(&[&address], base.path(), &files).unwrap_err();
        assert!(error.to_string().contains("not the official file"), "{error}");
        assert_eq!(visible(base.path()), 0, "something half-written");
    }

    #[cfg(feature = "download")]
    fn visible(folder: &Path) -> usize {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| !name.as_encoded_bytes().starts_with(b".")).count()
    }

    #[cfg(feature = "download")]
    #[test]
    fn who_fetches_at_once_waits_and_finds_the_files_there() {
        use crate::fetch::download::tests::{Answer, serve};
        let digests: Vec<String> =
            (0..6).map(|index| crate::fetch::digest::digest_of(&file(index)).unwrap()).collect();
        let files: Vec<(&str, &str)> =
            FILES.iter().zip(&digests).map(|((name, _), digest)| (*name, &**digest)).collect();
        let (address, requests) = serve(archive(&[0, 1, 2, 3, 4, 5]).leak(), Answer::Whole);
        let base = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| Cifar10::fetch_from(&[&address], base.path(), &files).unwrap());
            }
        });
        assert_eq!((requests.lock().unwrap().len(), visible(base.path())), (1, 1));
    }

    fn refused(result: Result<Cifar10>, words: &[&str]) {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input);
        for word in words {
            assert!(error.to_string().contains(word), "'{word}' is not in: {error}");
        }
    }

    #[test]
    fn damaged_files_are_refused_by_name() {
        let folder = folder();
        let path = folder.path().join(OFFICIAL.folder).join("data_batch_2.bin");
        let good = fs::read(&path).unwrap();
        let load = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            Cifar10::load(&named(folder.path()))
        };
        refused(load(&good[..good.len() - 1]), &["data_batch_2.bin", "cut short"]);
        refused(load(&[]), &["data_batch_2.bin"]);
        let mut labelled = good.clone();
        labelled[RECORD] = 10;
        refused(load(&labelled), &["data_batch_2.bin", "record 1 has label 10"]);
        fs::remove_file(&path).unwrap();
        refused(Cifar10::load(&named(folder.path())), &["data_batch_2.bin", "--data-dir"]);
    }

    #[test]
    fn damaged_archives_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(ARCHIVE);
        let load = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            Cifar10::load(&named(folder.path()))
        };
        let good = archive(&[0, 1, 2, 3, 4, 5]);
        refused(load(&good[..good.len() / 2]), &[ARCHIVE]);
        refused(load(b"no archive at all"), &[ARCHIVE, "damaged"]);
        refused(load(&archive(&[0, 1, 3, 4, 5])), &[ARCHIVE, "data_batch_3.bin"]);
    }

    #[test]
    fn nowhere_is_an_error_that_says_what_to_do() {
        let nowhere = Locations { cache: Some("/nowhere".into()), ..Locations::default() };
        refused(Cifar10::load(&nowhere), &["zor data fetch cifar-10", "ZOR_DATA_DIR"]);
        let empty = tempfile::tempdir().unwrap();
        refused(Cifar10::load(&named(empty.path())), &["data_batch_1.bin", "--data-dir"]);
    }
}
