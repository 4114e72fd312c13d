//! Checks of output paths: a command never overwrites a file that it reads.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{Error, Result, shown};

/// Image file extensions that are replaced when a picture is converted.
const PICTURES: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

/// Rejects an output that is one of the inputs or inside an input folder.
pub(crate) fn check<'a>(output: &Path, inputs: impl IntoIterator<Item = &'a Path>) -> Result<()> {
    for input in inputs {
        if is_one_file(output, input) {
            return Err(Error::in_file(
                output,
                "it is read by this command and would be overwritten; give another name",
            ));
        }
        if input.is_dir() && whole(output).starts_with(whole(input)) {
            return Err(Error::in_file(
                output,
                format!(
                    "it is inside {}, which this command reads; give a path outside of it",
                    shown(input)
                ),
            ));
        }
    }
    Ok(())
}

/// Whether two paths refer to the same file, through any links.
fn is_one_file(a: &Path, b: &Path) -> bool {
    if whole(a) == whole(b) {
        return true;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if let (Ok(a), Ok(b)) = (fs::metadata(a), fs::metadata(b)) {
            return (a.dev(), a.ino()) == (b.dev(), b.ino());
        }
    }
    false
}

/// Returns an absolute path, with links resolved as far as the path exists.
fn whole(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    for existing in path.ancestors() {
        if let Ok(found) = fs::canonicalize(existing) {
            return match path.strip_prefix(existing) {
                Ok(rest) if rest.as_os_str().is_empty() => found,
                Ok(rest) => found.join(rest),
                Err(_) => found,
            };
        }
    }
    path
}

/// Replaces a known file extension, or appends the new one if the extension is not known; other
/// dots are part of the name.
fn renamed(path: &Path, known: &[&str], ending: &str) -> OsString {
    let is_known = path
        .extension()
        .is_some_and(|found| known.iter().any(|known| found.eq_ignore_ascii_case(known)));
    let name = if is_known { path.file_stem() } else { path.file_name() };
    let mut name = name.unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    name
}

/// Returns the file name of a picture converted to PNG: `a.1.jpg` becomes `a.1.png`.
pub(crate) fn picture_name(path: &Path) -> OsString {
    renamed(path, &PICTURES, "png")
}

/// Returns the path of the .zore program next to its model: `net.v1.zor` becomes `net.v1.zore`.
pub(crate) fn program_of(model: &Path) -> PathBuf {
    model.with_file_name(renamed(model, &["zor"], "zore"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_part_of_a_name() {
        for (from, to) in
            [("a.jpg", "a.png"), ("a.1.JPG", "a.1.png"), ("a.1", "a.1.png"), ("a", "a.png")]
        {
            assert_eq!(picture_name(Path::new(from)), to);
        }
        for (from, to) in [("run/model.zor", "run/model.zore"), ("net.v1", "net.v1.zore")] {
            assert_eq!(program_of(Path::new(from)), Path::new(to));
        }
    }

    #[test]
    fn an_output_that_is_an_input_is_refused_by_whatever_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("a"), "").unwrap();
        fs::hard_link(at("a"), at("hard")).unwrap();
        fs::create_dir(at("inside")).unwrap();
        let check = |output: &str, input: &str| check(&at(output), [at(input).as_path()]);
        assert!(check("inside/../a", "a").is_err() && check("hard", "a").is_err());
        assert!(check("inside/new", "inside").is_err() && check("inside", "inside").is_err());
        assert!(check("b", "a").is_ok() && check("inside2", "inside").is_ok());
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(at("a"), at("link")).unwrap();
            assert!(check("link", "a").is_err() && check("a", "link").is_err());
        }
    }
}
