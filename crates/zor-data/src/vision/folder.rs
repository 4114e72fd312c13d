//! A folder of image files as a data set.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result, memory, shown};
use crate::vision::images::{ImageShape, Images, MAX_CLASSES};
use crate::vision::picture::Picture;
use crate::vision::reading::Reading;

/// Extensions of image files.
const ENDINGS: [&str; 4] = ["png", "jpg", "jpeg", "webp"];
/// Metadata files and folders of archives and operating systems, in lower case.
const LEAVINGS: [&str; 8] = [
    "__macosx",
    "@eadir",
    "#recycle",
    "$recycle.bin",
    "system volume information",
    "lost+found",
    "thumbs.db",
    "desktop.ini",
];

/// Reads all PNG, JPEG and WebP files of a folder, sorted by name. If it has folders instead, each
/// is a class, and its name is that of the class. Hidden files and metadata of archives and
/// operating systems are skipped. Files with other extensions, links to an enclosing folder and
/// folders without images are skipped too, and listed in [`Images::notes`].
///
/// # Errors
/// When there are no images, one cannot be read (see [`Picture::read`]), some are grey and others
/// in colour, their sizes differ, or some are in folders below those of the classes. The message
/// names the file.
pub fn read(folder: &Path) -> Result<Images> {
    read_with(folder, &Reading::default())
}

/// Reads a folder like [`read`]; resizes and crops the pictures, and skips damaged ones if
/// `reading` asks for it.
///
/// # Errors
/// Those of [`read`] and [`Reading::apply`]. With [`Reading::skip_damaged`], damaged pictures are
/// an error only if there are no others.
pub fn read_with(folder: &Path, reading: &Reading) -> Result<Images> {
    let mut passed = Passed::default();
    let top = list(folder, &mut passed)?;
    let (mut groups, mut classes) = (Vec::new(), Vec::new());
    if top.images.is_empty() {
        for class in top.folders {
            let inside = list(&class, &mut passed)?;
            for nested in inside.folders {
                if let Some(image) = first_image(&nested)? {
                    return Err(Error::in_file(
                        &nested,
                        format!(
                            "its images, such as {}, would be skipped: the images of a class must be directly in its folder; move them \
                             to {class}, or name {class} if its folders are the classes",
                            shown(&image),
                            class = shown(&class)
                        ),
                    ));
                }
            }
            if inside.images.is_empty() {
                passed.empty.push(class);
            } else {
                groups.push(inside.images);
                classes.push(class);
            }
        }
    } else {
        for nested in top.folders {
            if first_image(&nested)?.is_some() {
                return Err(Error::in_file(
                    folder,
                    format!(
                        "it has both images and folders of them, such as {}; put the images into folders, one for each class, or the \
                         folders elsewhere",
                        shown(&nested)
                    ),
                ));
            }
            passed.empty.push(nested);
        }
        groups.push(top.images);
    }
    if groups.len() > MAX_CLASSES {
        return Err(Error::in_file(
            folder,
            format!("it has {} folders; the maximum is {MAX_CLASSES} classes", groups.len()),
        ));
    }
    let names = names(folder, &classes, &mut passed)?;
    let count: usize = groups.iter().map(Vec::len).sum();
    let (mut first, mut values, mut labels) = (None, Vec::new(), Vec::new());
    let mut damaged = Damaged::default();
    for (class, paths) in groups.iter().enumerate() {
        let before = labels.len();
        for path in paths {
            let picture = match Picture::attempt(path)? {
                Ok(picture) => reading.apply(picture, path)?,
                Err(reason) if reading.skip_damaged => {
                    damaged.add(path, reason);
                    continue;
                }
                Err(reason) => return Err(Error::in_file(path, reason)),
            };
            if first.is_none() {
                let shape = picture.shape();
                values = memory(count.saturating_mul(shape.len())).map_err(|error| {
                    let message = format!(
                        "{error}, for its {count} images of {}x{}; make them fewer or smaller",
                        shape.width, shape.height
                    );
                    Error::in_file(folder, message)
                })?;
            }
            let (shape, name) = *first.get_or_insert((picture.shape(), path));
            if picture.shape() != shape {
                return Err(Error::in_file(
                    path,
                    format!(
                        "it is {}, {} is {}; all images must have the same size and colour: resize or convert them",
                        said(picture.shape()),
                        shown(name),
                        said(shape)
                    ),
                ));
            }
            values.extend_from_slice(picture.values());
            labels.push(class as u8);
        }
        if labels.len() == before {
            damaged.classes.extend(names.get(class).cloned());
        }
    }
    let Some((shape, _)) = first else {
        let message = match damaged.said() {
            Some(damaged) => {
                format!("it has only {damaged}; download or copy the files again")
            }
            None => "there are no PNG, JPEG or WebP files in it".to_owned(),
        };
        return Err(Error::in_file(folder, message));
    };
    let set = Images::new(shown(folder), shape, values, labels, groups.len())?;
    let notes = passed.notes().into_iter().chain(damaged.notes()).collect();
    Ok(set.with_class_names(names).with_notes(notes))
}

/// Returns the names of class folders.
fn names(folder: &Path, classes: &[PathBuf], passed: &mut Passed) -> Result<Vec<String>> {
    let name =
        |class: &PathBuf| class.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let names: Vec<String> = classes.iter().map(name).collect();
    for (at, name) in names.iter().enumerate() {
        let alike = |other: &&String| other.to_lowercase() == name.to_lowercase();
        match names[..at].iter().position(|other| alike(&other)) {
            Some(other) if names[other] == *name => {
                return Err(Error::in_file(
                    folder,
                    format!(
                        "the names of {} and {} are equal once converted to text; rename one of them",
                        shown(&classes[other]),
                        shown(&classes[at])
                    ),
                ));
            }
            Some(other) => passed.cases.push((names[other].clone(), name.clone())),
            None => {}
        }
    }
    Ok(names)
}

/// Files and folders that reading skipped.
#[derive(Debug, Default)]
struct Passed {
    /// Folders without images.
    empty: Vec<PathBuf>,
    /// Links to an enclosing folder.
    loops: Vec<PathBuf>,
    /// Files with other extensions.
    others: Vec<PathBuf>,
    /// Pairs of class names that differ only in case; these are not skipped.
    cases: Vec<(String, String)>,
}

impl Passed {
    fn notes(&self) -> Vec<String> {
        let kinds = [
            (&self.empty, "folder without images", "folders without images"),
            (&self.loops, "link to an enclosing folder", "links to an enclosing folder"),
            (
                &self.others,
                "file that does not end in .png, .jpg, .jpeg or .webp",
                "files that do not end in .png, .jpg, .jpeg or .webp",
            ),
        ];
        let said = |(paths, one, many): (&Vec<PathBuf>, &str, &str)| match &paths[..] {
            [] => None,
            [path] => Some(format!("skipped {}, a {one}", shown(path))),
            [path, ..] => {
                Some(format!("skipped {} {many}; the first is {}", paths.len(), shown(path)))
            }
        };
        let cases = self.cases.iter().map(|(one, other)| {
            format!("the classes '{}' and '{}' differ only in case", shown(one), shown(other))
        });
        kinds.into_iter().filter_map(said).chain(cases).collect()
    }
}

/// Damaged pictures that reading skipped.
#[derive(Debug, Default)]
struct Damaged {
    count: usize,
    /// The first of them, and what is wrong with it.
    first: Option<(PathBuf, String)>,
    /// Classes that have only damaged pictures.
    classes: Vec<String>,
}

impl Damaged {
    fn add(&mut self, path: &Path, reason: String) {
        self.count += 1;
        self.first.get_or_insert_with(|| (path.to_path_buf(), reason));
    }

    /// Describes the pictures for a message, if there are any.
    fn said(&self) -> Option<String> {
        let (path, reason) = self.first.as_ref()?;
        let path = shown(path);
        Some(match self.count {
            1 => format!("1 damaged picture, {path} ({reason})"),
            count => format!("{count} damaged pictures; the first is {path} ({reason})"),
        })
    }

    fn notes(&self) -> Vec<String> {
        let skipped = self.said().map(|pictures| format!("skipped {pictures}"));
        let classes = self
            .classes
            .iter()
            .map(|class| format!("the class '{}' has only damaged pictures", shown(class)));
        skipped.into_iter().chain(classes).collect()
    }
}

/// Images and folders inside a folder, sorted by name.
struct Listing {
    images: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

/// Lists a folder without hidden files and metadata, sorted by name.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let refused = |error: &std::io::Error| match error.kind() {
        ErrorKind::NotFound => Error::in_file(folder, "there is no such folder"),
        _ => Error::file_system(folder, "list it", error),
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| refused(&error))? {
        let entry = entry.map_err(|error| refused(&error))?;
        let name = entry.file_name();
        let left = LEAVINGS.iter().any(|left| name.eq_ignore_ascii_case(left));
        if !left && !name.as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

fn list(folder: &Path, passed: &mut Passed) -> Result<Listing> {
    let mut listing = Listing { images: Vec::new(), folders: Vec::new() };
    for path in entries(folder)? {
        if path.is_dir() {
            match leads_back(&path, folder) {
                true => passed.loops.push(path),
                false => listing.folders.push(path),
            }
        } else if is_image(&path) {
            listing.images.push(path);
        } else {
            passed.others.push(path);
        }
    }
    Ok(listing)
}

/// True if a path is a link to its own folder or to an enclosing one.
fn leads_back(path: &Path, folder: &Path) -> bool {
    path.is_symlink()
        && fs::canonicalize(path)
            .and_then(|path| Ok(fs::canonicalize(folder)?.starts_with(path)))
            .unwrap_or(false)
}

fn is_image(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ENDINGS.iter().any(|image| ending.eq_ignore_ascii_case(image)))
}

/// Returns an image anywhere below a folder. Links are not followed, because they may form a loop.
fn first_image(folder: &Path) -> Result<Option<PathBuf>> {
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder)? {
            match path.is_dir() {
                true if path.is_symlink() => {}
                true => folders.push(path),
                false if is_image(&path) => return Ok(Some(path)),
                false => {}
            }
        }
    }
    Ok(None)
}

fn said(shape: ImageShape) -> String {
    let kind = if shape.channels == 1 { "grey" } else { "in colour" };
    format!("{}x{} and {kind}", shape.width, shape.height)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, Luma, Rgb, RgbImage};

    fn colour(folder: &Path, name: &str, size: u32, value: u8) {
        fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
        RgbImage::from_pixel(size, size, Rgb([value; 3])).save(folder.join(name)).unwrap();
    }

    fn refused(folder: &Path, words: &[&str]) {
        let message = read(folder).unwrap_err().to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }

    #[test]
    fn files_come_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        colour(folder.path(), "b.png", 4, 2);
        colour(folder.path(), "a.PNG", 4, 1);
        fs::write(folder.path().join("notes.txt"), "not an image").unwrap();
        fs::write(folder.path().join(".hidden.png"), "not an image").unwrap();
        let set = read(folder.path()).unwrap();
        assert_eq!((set.len(), set.n_classes(), set.shape().len()), (2, 1, 48));
        assert_eq!((set.image(0)[0], set.image(1)[0]), (1, 2));
    }

    #[test]
    fn folders_are_classes() {
        let folder = tempfile::tempdir().unwrap();
        for (name, value) in [("cat/0.png", 3), ("cat/1.png", 4), ("ape/0.webp", 5)] {
            colour(folder.path(), name, 4, value);
        }
        let set = read(folder.path()).unwrap();
        assert_eq!((set.labels(), set.n_classes()), (&[0, 1, 1][..], 2));
        assert_eq!(set.class_names(), ["ape", "cat"]);
        assert_eq!(set.image(0)[0], 5);
    }

    #[test]
    fn folders_that_make_no_set_are_refused_by_the_name_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        refused(&path.join("nowhere"), &["nowhere", "no such folder"]);
        refused(path, &["no PNG, JPEG or WebP"]);
        colour(path, "a.png", 4, 1);
        colour(path, "b.png", 5, 1);
        refused(path, &["b.png", "5x5", "a.png", "4x4", "resize"]);
        GrayImage::from_pixel(4, 4, Luma([1])).save(path.join("b.png")).unwrap();
        refused(path, &["b.png", "grey", "colour"]);
        fs::write(path.join("b.png"), "no image").unwrap();
        refused(path, &["b.png", "not a PNG"]);
        fs::remove_file(path.join("b.png")).unwrap();
        colour(path, "class/c.png", 4, 1);
        refused(path, &["both images and folders"]);
    }

    fn notes(folder: &Path) -> String {
        read(folder).unwrap().notes().join("\n")
    }

    #[test]
    fn leavings_and_empty_folders_make_no_class() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for name in ["ape/0.png", "cat/0.png", "__MACOSX/cat/0.png", "@eaDir/0.png", ".git/0.png"] {
            colour(path, name, 4, 1);
        }
        for name in [".DS_Store", "cat/._0.png", "cat/Thumbs.db", "ape/desktop.ini"] {
            fs::write(path.join(name), "no image").unwrap();
        }
        let set = read(path).unwrap();
        assert_eq!(
            (set.class_names(), set.notes()),
            (&["ape", "cat"].map(String::from)[..], &[][..])
        );
        fs::create_dir_all(path.join("bee/nothing")).unwrap();
        let set = read(path).unwrap();
        assert_eq!((set.n_classes(), set.labels()), (2, &[0, 1][..]));
        assert!(set.notes()[0].contains("bee, a folder without images"), "{:?}", set.notes());
        assert_eq!(set.select(&[1]).unwrap().notes(), set.notes());
        fs::create_dir(path.join("dog")).unwrap();
        fs::write(path.join("cat/list.csv"), "").unwrap();
        let found = notes(path);
        assert!(found.contains("skipped 2 folders without images"), "{found}");
        assert!(found.contains("list.csv, a file that does not end in"), "{found}");
        // A single class folder is labelled; a flat folder is not.
        fs::remove_dir_all(path.join("ape")).unwrap();
        assert!(read(path).unwrap().has_labels());
        assert!(!read(&path.join("cat")).unwrap().has_labels());
        fs::remove_dir_all(path.join("cat")).unwrap();
        refused(path, &["no PNG, JPEG or WebP"]);
    }

    #[test]
    fn images_that_lie_deeper_are_refused_with_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        colour(path, "ape/0.png", 4, 1);
        colour(path, "cat/2023/may/0.png", 4, 1);
        refused(path, &["cat/2023: ", "0.png", "move them to", "name "]);
        colour(path, "cat/1.png", 4, 1);
        refused(path, &["cat/2023: ", "move them to"]);
        fs::remove_file(path.join("cat/2023/may/0.png")).unwrap();
        assert_eq!(read(path).unwrap().len(), 2);
        // An empty folder next to images is allowed.
        colour(path, "ape/empty/0.png", 4, 1);
        refused(&path.join("ape"), &["both images and folders", "empty"]);
        fs::remove_file(path.join("ape/empty/0.png")).unwrap();
        assert!(notes(&path.join("ape")).contains("a folder without images"));
    }

    #[test]
    fn names_in_other_cases_are_noted_and_control_characters_are_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for name in ["Cat/0.png", "cat/0.PNG", "a\tb/0.png"] {
            fs::create_dir_all(path.join(name).parent().unwrap()).unwrap();
            let image = RgbImage::from_pixel(2, 2, Rgb([1; 3]));
            image.save_with_format(path.join(name), image::ImageFormat::Png).unwrap();
        }
        // Some file systems are not case-sensitive.
        if read(path).unwrap().n_classes() == 3 {
            assert_eq!(notes(path), "the classes 'Cat' and 'cat' differ only in case");
        }
        assert!(read(path).unwrap().class_names().contains(&"a\tb".to_owned()));
        fs::write(path.join("a\tb/0.png"), "").unwrap();
        refused(path, &["a\\tb/0.png: it is empty"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_and_pipes_neither_hang_nor_repeat() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        colour(path, "cat/0.png", 4, 1);
        symlink(".", path.join("self")).unwrap();
        symlink("..", path.join("cat/up")).unwrap();
        symlink("loop", path.join("loop")).unwrap();
        symlink("nowhere", path.join("dangling")).unwrap();
        let set = read(path).unwrap();
        assert_eq!((set.len(), set.n_classes()), (1, 1));
        assert!(set.notes()[0].contains("skipped 2 links to an enclosing folder"));
        assert!(set.notes()[1].contains("2 files that do not end in"));
        for (name, words) in
            [("1.png", "a link to a file that is not there"), ("2.png", "cannot read it")]
        {
            let link = path.join("cat").join(name);
            symlink(if name == "1.png" { "nowhere" } else { name }, &link).unwrap();
            refused(path, &[name, words]);
            fs::remove_file(link).unwrap();
        }
        crate::file::tests::pipe(&path.join("cat/3.png"));
        refused(path, &["3.png", "not a regular file"]);
    }

    #[test]
    fn pictures_of_different_sizes_become_one_set() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for (name, size, value) in [("a.png", 5, 10), ("b.webp", 8, 20), ("c.png", 30, 30)] {
            colour(path, name, size, value);
        }
        let (large, small) = (Some("6x4".parse().unwrap()), Some("5x3".parse().unwrap()));
        for (resize, crop, length) in [(large, None, 72), (None, small, 45), (large, small, 45)] {
            let set = read_with(path, &Reading { resize, crop, skip_damaged: false }).unwrap();
            assert_eq!((set.len(), set.shape().len(), set.notes().len()), (3, length, 0));
            for (index, value) in [10, 20, 30].into_iter().enumerate() {
                assert!(set.image(index).iter().all(|&other| other == value));
            }
        }
        let reading = Reading { crop: Some("9x5".parse().unwrap()), ..Reading::default() };
        let message = read_with(path, &reading).unwrap_err().to_string();
        assert!(message.contains("a.png: it is 5x5, smaller than the crop of 9x5"), "{message}");
        let reading = Reading { resize: large, ..Reading::default() };
        GrayImage::from_pixel(4, 4, Luma([1])).save(path.join("d.png")).unwrap();
        let message = read_with(path, &reading).unwrap_err().to_string();
        assert!(message.contains("d.png: it is 6x4 and grey"), "{message}");
    }

    #[test]
    fn damaged_pictures_are_skipped_when_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for name in ["ape/1.png", "ape/2.png", "cat/1.png"] {
            colour(path, name, 8, 1);
        }
        let reading = Reading { skip_damaged: true, ..Reading::default() };
        let whole = read_with(path, &reading).unwrap();
        assert_eq!((whole.digest(), whole.notes().len()), (read(path).unwrap().digest(), 0));
        let bytes = fs::read(path.join("ape/2.png")).unwrap();
        fs::write(path.join("ape/0.png"), "").unwrap();
        refused(path, &["ape/0.png: it is empty"]);
        let set = read_with(path, &reading).unwrap();
        assert_eq!(set.digest(), whole.digest());
        let note = &set.notes()[0];
        assert!(note.starts_with("skipped 1 damaged picture, "), "{note}");
        assert!(note.ends_with("0.png (it is empty; download or copy it again)"), "{note}");
        fs::write(path.join("ape/2.png"), &bytes[..bytes.len() - 20]).unwrap();
        fs::write(path.join("cat/1.png"), "GIF89a").unwrap();
        let set = read_with(path, &reading).unwrap();
        assert_eq!((set.labels(), set.n_classes()), (&[0][..], 2));
        let notes = set.notes();
        assert!(notes[0].starts_with("skipped 3 damaged pictures; "), "{notes:?}");
        assert!(
            notes[0].contains("; the first is ") && notes[0].contains("0.png (it is empty"),
            "{notes:?}"
        );
        assert_eq!(notes[1], "the class 'cat' has only damaged pictures");
        fs::write(path.join("ape/1.png"), "").unwrap();
        let message = read_with(path, &reading).unwrap_err().to_string();
        assert!(message.contains("it has only 4 damaged pictures; "), "{message}");
    }

    #[cfg(unix)]
    #[test]
    fn files_that_cannot_be_read_are_not_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        colour(path, "0.png", 4, 1);
        let reading = Reading { skip_damaged: true, ..Reading::default() };
        std::os::unix::fs::symlink("nowhere", path.join("1.png")).unwrap();
        let message = read_with(path, &reading).unwrap_err().to_string();
        assert!(message.contains("1.png: it is a link to a file that is not there"), "{message}");
        fs::remove_file(path.join("1.png")).unwrap();
        crate::file::tests::pipe(&path.join("1.png"));
        let message = read_with(path, &reading).unwrap_err().to_string();
        assert!(message.contains("1.png: it is not a regular file"), "{message}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn names_that_are_equal_as_text_are_refused() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for name in [b"a\xfe", b"a\xff"] {
            let class = path.join(OsStr::from_bytes(name));
            // Not all file systems allow names that are not UTF-8.
            if fs::create_dir(&class).is_err() {
                return;
            }
            RgbImage::from_pixel(2, 2, Rgb([1; 3])).save(class.join("0.png")).unwrap();
        }
        refused(path, &["a\\xfe", "a\\xff", "rename one"]);
    }
}
