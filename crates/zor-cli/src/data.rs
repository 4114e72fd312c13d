//! `zor data`: where data sets are, and fetching them.

use std::path::PathBuf;

use zor::data::{Locations, Source, cifar10, fashion_mnist};
use zor::images::Images;
use zor::options::{DataSetName, Samples, Settings};
use zor::{Error, Result};

use crate::arguments::DataCommand;

pub(crate) fn run(command: DataCommand) -> Result<()> {
    match command {
        DataCommand::List { data_dir } => {
            let locations = Locations::from_environment(data_dir);
            for set in [DataSetName::FashionMnist, DataSetName::Cifar10] {
                let place = match find(set, &locations) {
                    Ok(Some(path)) => path.display().to_string(),
                    Ok(None) if set == DataSetName::FashionMnist => {
                        format!("not found; {} is used", Source::Sample)
                    }
                    Ok(None) => "not found".to_owned(),
                    Err(error) => error.to_string(),
                };
                say!("{:<15}{place}", set.name());
            }
            Ok(())
        }
        DataCommand::Path { name, data_dir } => {
            let set: DataSetName = name.parse()?;
            let found = find(set, &Locations::from_environment(data_dir))?;
            let path = found.ok_or_else(|| {
                Error::input(format!("{set} is not here; 'zor data fetch {set}' fetches it"))
            })?;
            say!("{}", path.display());
            Ok(())
        }
        DataCommand::Fetch { name, data_dir } => {
            let folder = fetch(name.parse()?, &Locations::from_environment(data_dir))?;
            say!("{}", folder.display());
            Ok(())
        }
    }
}

/// The images for a run. A set that is not here, and that no sample stands for, is fetched first if it can be had.
pub(crate) fn load(settings: &Settings) -> Result<Images> {
    if let Some(path) = &settings.images {
        return Images::own(path);
    }
    let locations = Locations::from_environment(settings.data_dir.clone());
    let set = settings.task.data_set();
    let (size, sample_is_enough) = match set {
        DataSetName::FashionMnist => {
            ("30 MB", matches!(settings.samples, Samples::PerClass(n) if n <= 100))
        }
        _ => ("170 MB", false),
    };
    if !sample_is_enough && find(set, &locations)?.is_none() {
        eprintln!("fetching {set}, {size} ...");
        if let Err(error) = fetch(set, &locations) {
            eprintln!("{error}");
        }
    }
    let data = Images::load(set, &locations)?;
    if data.source == Source::Sample && !sample_is_enough {
        eprintln!("{set} is not here: learning from {}", data.source);
    }
    Ok(data)
}

fn find(set: DataSetName, locations: &Locations) -> Result<Option<PathBuf>> {
    Ok(match set {
        DataSetName::FashionMnist => fashion_mnist::find(locations)?,
        _ => cifar10::find(locations)?,
    })
}

#[cfg(feature = "download")]
fn fetch(set: DataSetName, locations: &Locations) -> Result<PathBuf> {
    Ok(match set {
        DataSetName::FashionMnist => zor::data::FashionMnist::fetch(locations)?,
        _ => zor::data::Cifar10::fetch(locations)?,
    })
}

#[cfg(not(feature = "download"))]
fn fetch(_: DataSetName, _: &Locations) -> Result<PathBuf> {
    Err(Error::input("this zor was built without the feature 'download'"))
}
