//! `zor eval`: the figures of a saved model on its task's evaluation images, or on a user's own.

use serde_json::json;
use zor::data::Locations;
use zor::images::{self, Images, VALIDATION};
use zor::options::TaskName;
use zor::{Error, Result, checkpoint, io, run, train};

use crate::arguments::EvalArguments;
use crate::report;

pub(crate) fn run(arguments: EvalArguments) -> Result<()> {
    let model = run::model_file(&arguments.model)?;
    zor::options::check_threads(arguments.threads)?;
    crate::train::set_threads(arguments.threads)?;
    let device = zor::device(&arguments.device)?;
    let (network, header) = io::load(&model, &device)?;
    let task = checkpoint::task_of(&header.notes, &model)?;
    if !task.is_classification() && arguments.views != Default::default() {
        return Err(Error::input(format!(
            "--test-time-flip and --test-time-shift have no effect here: they are for classification, and the model is of {task}"
        )));
    }
    let mut sets = Vec::new();
    if let Some(path) = &arguments.images {
        sets.push(("your own images", images::read_own(path)?));
    } else {
        let set = Images::load(task.data_set(), &Locations::from_environment(arguments.data_dir))?;
        // The other tasks learn from all training images.
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
        images.notes().iter().for_each(|note| tell!("warning: {note}"));
        let (images, match_) = images::for_model(images, task, &network, &header.notes)?;
        images::remarks(&match_).iter().for_each(|remark| tell!("warning: {remark}"));
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
            tell!("{line}")
        } else {
            say!("{line}")
        }
        last = Some((found, images.len(), match_));
    }
    if let (true, Some((found, n, match_))) = (arguments.json, last) {
        let mut object = json!({
            "task": task,
            "model": model.to_string_lossy(),
            "parameters": network.n_parameters(),
            "eval_samples": n,
        });
        report::add(&mut object, report::metrics(&found));
        if match_.left_out > 0 {
            object["left_out"] = match_.left_out.into();
        }
        say!("{object}");
    }
    Ok(())
}
