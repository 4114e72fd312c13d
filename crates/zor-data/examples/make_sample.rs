//! Writes the two files of `sample/` from the full data set:
//! `cargo run -p zor-data --example make_sample -- FOLDER`, where FOLDER has the official files.

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};
use zor_data::FashionMnist;

const IMAGES: usize = 3000;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).ok_or("name the folder with the official files")?;
    let part = FashionMnist::from_folder(Path::new(&folder))?.train.first(IMAGES)?;
    let count = u32::try_from(part.len())?.to_be_bytes();
    let mut images = [&0x0803u32.to_be_bytes()[..], &count, &[0, 0, 0, 28, 0, 0, 0, 28]].concat();
    (0..part.len()).for_each(|index| images.extend_from_slice(part.image(index)));
    let labels = [&0x0801u32.to_be_bytes()[..], &count, part.labels()].concat();
    let sample = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("sample");
    for (name, bytes) in [("train-images-idx3", images), ("train-labels-idx1", labels)] {
        let file = std::fs::File::create(sample.join(format!("{name}-ubyte.gz")))?;
        let mut encoder = GzBuilder::new().mtime(0).write(file, Compression::best());
        encoder.write_all(&bytes)?;
        encoder.finish()?.sync_all()?;
    }
    Ok(())
}
