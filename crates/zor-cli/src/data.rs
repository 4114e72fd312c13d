//! `zor data`: where data sets are, and fetching them.

use std::path::PathBuf;

use zor::data::{Locations, Source};
use zor::images::Images;
use zor::options::{DataSetName, Samples, Settings};
use zor::{Error, Result, shown};

use crate::arguments::DataCommand;

pub(crate) fn run(command: DataCommand) -> Result<()> {
    match command {
        DataCommand::List { data_dir } => {
            let locations = Locations::from_environment(data_dir);
            for set in DataSetName::ALL.iter().copied() {
                let place = match set.find(&locations) {
                    Ok(Some(path)) => shown(&path),
                    Ok(None) if set.has_sample_for(Samples::PerClass(1)) => {
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
            let found = set.find(&Locations::from_environment(data_dir))?;
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

/// The images for a run. A set that is missing, and that no sample stands for, is fetched first if possible.
pub(crate) fn load(settings: &Settings) -> Result<Images> {
    if let Some(path) = &settings.images {
        return Images::own(path);
    }
    let locations = Locations::from_environment(settings.data_dir.clone());
    let set = settings.task.data_set();
    let sample_is_enough = set.has_sample_for(settings.samples);
    if !sample_is_enough && set.find(&locations)?.is_none() {
        tell!("fetching {set}, {} ...", set.download_size());
        if let Err(error) = fetch(set, &locations) {
            tell!("{error}");
        }
    }
    let data = Images::load(set, &locations)?;
    if data.source == Source::Sample && !sample_is_enough {
        tell!("{set} is not here: learning from {}", data.source);
    }
    Ok(data)
}

#[cfg(feature = "download")]
fn fetch(set: DataSetName, locations: &Locations) -> Result<PathBuf> {
    set.fetch(locations)
}

#[cfg(not(feature = "download"))]
fn fetch(_: DataSetName, _: &Locations) -> Result<PathBuf> {
    Err(Error::input("this zor was built without the feature 'download'"))
}
