//! A folder of image files as a data set.

use std::fs;
use std::path::{Path, PathBuf};

use crate::dataset::{Dataset, ImageShape};
use crate::error::{Error, Result};
use crate::picture::Picture;

/// Names that end like this are images.
const ENDINGS: [&str; 4] = ["png", "jpg", "jpeg", "webp"];
/// A label is a byte.
const MOST_CLASSES: usize = 256;

/// Reads all PNG, JPEG and WebP files of a folder in the order of their names, or, where it has folders instead, those of each as a
/// class of its own. Hidden files and files with other endings are passed over.
///
/// # Errors
/// When there are none, one cannot be read ([`Picture::read`] says what can), or they differ in size or in whether they
/// have colour. The message names the file.
pub fn read(folder: &Path) -> Result<Dataset> {
    let (images, classes) = list(folder)?;
    let groups = match (images.is_empty(), classes.is_empty()) {
        (false, true) => vec![images],
        (true, false) => {
            classes.iter().map(|class| Ok(list(class)?.0)).collect::<Result<Vec<_>>>()?
        }
        (true, true) => return Err(none(folder)),
        (false, false) => {
            return Err(Error::in_file(
                folder,
                "it has both images and folders; put the images into folders, one for each class, or the folders elsewhere",
            ));
        }
    };
    if groups.len() > MOST_CLASSES {
        return Err(Error::in_file(
            folder,
            format!("its {} folders are too many; there are at most 256 classes", groups.len()),
        ));
    }
    let (mut first, mut values, mut labels) = (None, Vec::new(), Vec::new());
    for (class, paths) in groups.iter().enumerate() {
        for path in paths {
            let picture = Picture::read(path)?;
            let (shape, name) = *first.get_or_insert((picture.shape(), path));
            if picture.shape() != shape {
                return Err(Error::in_file(
                    path,
                    format!(
                        "it is {}, {} is {}; all images of a set are alike: resize or convert them",
                        said(picture.shape()),
                        name.display(),
                        said(shape)
                    ),
                ));
            }
            values.extend_from_slice(picture.values());
            labels.push(class as u8);
        }
    }
    let Some((shape, _)) = first else { return Err(none(folder)) };
    let set = Dataset::new(folder.display().to_string(), shape, values, labels, groups.len())?;
    let names = classes.iter().filter_map(|class| class.file_name());
    Ok(set.with_class_names(names.map(|name| name.to_string_lossy())))
}

fn none(folder: &Path) -> Error {
    Error::in_file(folder, "there are no PNG, JPEG or WebP files in it")
}

fn said(shape: ImageShape) -> String {
    let kind = if shape.channels == 1 { "grey" } else { "in colour" };
    format!("{}x{} and {kind}", shape.width, shape.height)
}

/// Images and folders inside a folder, by name.
fn list(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let refused = |error: &std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::in_file(folder, "there is no such folder"),
        _ => Error::file_system(folder, "list it", error),
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| refused(&error))? {
        let entry = entry.map_err(|error| refused(&error))?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    let (folders, files): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| path.is_dir());
    let is_image = |path: &PathBuf| {
        path.extension()
            .is_some_and(|ending| ENDINGS.iter().any(|image| ending.eq_ignore_ascii_case(image)))
    };
    Ok((files.into_iter().filter(is_image).collect(), folders))
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
        refused(path, &["b.png", "no PNG"]);
        fs::remove_file(path.join("b.png")).unwrap();
        colour(path, "class/c.png", 4, 1);
        refused(path, &["both images and folders"]);
    }
}
