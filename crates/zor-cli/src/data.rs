//! `zor data`: where data sets are, and fetching them.

use std::path::PathBuf;

use zor::data::{FashionMnist, Locations, Source, fashion_mnist};
use zor::options::{Samples, Settings};
use zor::{Error, Result};

use crate::arguments::DataCommand;

pub(crate) fn run(command: DataCommand) -> Result<()> {
    match command {
        DataCommand::List { data_dir } => {
            let place = match fashion_mnist::find(&Locations::from_environment(data_dir))? {
                Some(folder) => folder.display().to_string(),
                None => format!("not found; {} is used", Source::Sample),
            };
            println!("fashion-mnist  {place}");
            Ok(())
        }
        DataCommand::Path { name, data_dir } => {
            check_name(&name)?;
            let found = fashion_mnist::find(&Locations::from_environment(data_dir))?;
            let folder = found.ok_or_else(|| {
                Error::input("fashion-mnist is not here; 'zor data fetch fashion-mnist' fetches it")
            })?;
            println!("{}", folder.display());
            Ok(())
        }
        DataCommand::Fetch { name, data_dir } => {
            check_name(&name)?;
            println!("{}", fetch(&Locations::from_environment(data_dir))?.display());
            Ok(())
        }
    }
}

/// The images for a run. Runs that need more than the sample fetch the whole set first, if it can be had.
pub(crate) fn load(settings: &Settings) -> Result<FashionMnist> {
    let locations = Locations::from_environment(settings.data_dir.clone());
    let sample_is_enough = matches!(settings.samples, Samples::PerClass(n) if n <= 100);
    if !sample_is_enough && fashion_mnist::find(&locations)?.is_none() {
        eprintln!("fetching Fashion-MNIST, 30 MB ...");
        if let Err(error) = fetch(&locations) {
            eprintln!("{error}");
        }
    }
    let data = FashionMnist::load(&locations)?;
    if data.source == Source::Sample && !sample_is_enough {
        eprintln!("Fashion-MNIST is not here: learning from {}", data.source);
    }
    Ok(data)
}

#[cfg(feature = "download")]
fn fetch(locations: &Locations) -> Result<PathBuf> {
    Ok(FashionMnist::fetch(locations)?)
}

#[cfg(not(feature = "download"))]
fn fetch(_locations: &Locations) -> Result<PathBuf> {
    Err(Error::input("this zor was built without the feature 'download'"))
}

fn check_name(name: &str) -> Result<()> {
    if name == "fashion-mnist" {
        Ok(())
    } else {
        Err(Error::input(format!("there is no data set '{name}'; there is fashion-mnist")))
    }
}
