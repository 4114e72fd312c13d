//! `zor eval`: how well a saved model does on its task's evaluation images.

use serde_json::json;
use zor::data::Locations;
use zor::images::{self, Images, VALIDATION};
use zor::options::TaskName;
use zor::{Error, Result, io, train};

use crate::arguments::EvalArguments;
use crate::report;

pub(crate) fn run(arguments: EvalArguments) -> Result<()> {
    crate::train::set_threads(arguments.threads)?;
    let device = zor::device(&arguments.device)?;
    let (network, header) = io::load(&arguments.model, &device)?;
    let name = header.notes.get("task").map_or("", String::as_str);
    let task: TaskName = name.parse().map_err(|_| {
        Error::input(format!(
            "{}: it was trained for the task '{name}', which zor eval does not know; it knows {}",
            arguments.model.display(),
            TaskName::NAMES.join(", ")
        ))
    })?;
    let mut sets = Vec::new();
    if let Some(path) = &arguments.images {
        sets.push(("your own images", images::read_own(path)?));
    } else {
        let set = Images::load(task.data_set(), &Locations::from_environment(arguments.data_dir))?;
        // Others learn from all training images.
        if task == TaskName::FashionReconstruction || set.test.is_none() {
            sets.push(("training images 2000 to 2999", set.train.range(VALIDATION)?));
        }
        if let Some(test) = &set.test {
            let (images, name) = images::tested(task, test)?;
            sets.push((name, images));
        }
    }
    let mut last = None;
    for (name, images) in sets {
        let found = train::evaluate(&network, task, &images, &device, arguments.views.views())?;
        let mut line = format!(
            "{name:<30} {:>6} images {:>8.3} {}",
            images.len(),
            found.headline(),
            found.unit()
        );
        line += &match found.confusion {
            Some(_) => " (top-1)".to_owned(),
            None => format!(" {:>8.2} % (1 - MAE)", 100.0 * (1.0 - found.deviation.mae())),
        };
        if arguments.json {
            eprintln!("{line}")
        } else {
            say!("{line}")
        }
        last = Some((found, images.len()));
    }
    if let (true, Some((found, n))) = (arguments.json, last) {
        let mut object = json!({
            "task": task, "model": arguments.model, "parameters": network.n_parameters(), "eval_samples": n,
        });
        report::add(&mut object, report::metrics(&found));
        say!("{object}");
    }
    Ok(())
}
