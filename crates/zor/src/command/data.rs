//! `zor data`: location and download of data sets and corpora.

use zor_data::text::corpora;
use zor_data::{Locations, Source};

use super::arguments::DataCommand;
use crate::settings::TrainingSize;
use crate::tasks::parts::data_sets::{self, DATA_SETS};
use crate::{Error, Result, shown};

pub(super) fn run(command: DataCommand) -> Result<()> {
    match command {
        DataCommand::List { data_dir } => {
            let locations = Locations::from_environment(data_dir);
            for set in DATA_SETS {
                let place = match set.find(&locations) {
                    Ok(Some(path)) => shown(&path),
                    Ok(None) if set.has_sample_for(TrainingSize::PerClass(1)) => {
                        format!("not found; {} is used", Source::Sample)
                    }
                    Ok(None) => "not found".to_owned(),
                    Err(error) => error.to_string(),
                };
                say!("{:<15}{place}", set.name());
            }
            for name in corpora::names() {
                say!("{name:<15}sentence pairs; {}", corpora::licence(name)?);
            }
            Ok(())
        }
        DataCommand::Path { name, data_dir } => {
            let found = data_sets::named(&name)?.find(&Locations::from_environment(data_dir))?;
            let path = found.ok_or_else(|| {
                Error::input(format!("{name} was not found; `zor data fetch {name}` downloads it"))
            })?;
            say!("{}", path.display());
            Ok(())
        }
        DataCommand::Fetch { name, data_dir } => {
            let locations = Locations::from_environment(data_dir);
            if corpora::names().contains(&&*name) {
                let corpus = corpora::load(&name, &locations, &mut |line| tell!("{line}"))?;
                say!("{}", corpus.source);
                return Ok(());
            }
            let folder = data_sets::named(&name)?.fetch_if_possible(&locations)?;
            say!("{}", folder.display());
            Ok(())
        }
    }
}
