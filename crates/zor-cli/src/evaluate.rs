//! `zor eval`: how well a saved model does on its task's evaluation images.

use serde_json::json;
use zor::data::{FashionMnist, Locations};
use zor::{Error, Result, fashion, io, train};

use crate::arguments::EvalArguments;

pub(crate) fn run(arguments: EvalArguments) -> Result<()> {
    crate::train::set_threads(arguments.threads)?;
    let device = zor::device(&arguments.device)?;
    let (network, header) = io::load(&arguments.model, &device)?;
    let task = header.notes.get("task").map_or("", String::as_str);
    if task != "fashion-reconstruction" {
        return Err(Error::input(format!(
            "{}: it was trained for the task '{task}', which zor eval does not know; \
             it knows fashion-reconstruction",
            arguments.model.display()
        )));
    }
    let set = FashionMnist::load(&Locations::from_environment(arguments.data_dir))?;
    let mut sets = vec![("training images 2000 to 2999", set.train.range(fashion::VALIDATION)?)];
    sets.extend(set.test.map(|test| ("the test set", test)));
    let mut last = None;
    for (name, images) in sets {
        let found = train::evaluate(&network, &images, &device)?;
        let line = format!(
            "{name:<30} {:>6} images {:>8.3} dB {:>8.2} % (1 - MAE)",
            images.len(),
            found.psnr_db(),
            100.0 * found.accuracy()
        );
        if arguments.json {
            eprintln!("{line}")
        } else {
            println!("{line}")
        }
        last = Some((found, images.len()));
    }
    if let (true, Some((found, n))) = (arguments.json, last) {
        let object = json!({
            "task": task, "model": arguments.model, "parameters": network.n_parameters(),
            "eval_samples": n, "psnr_db": found.psnr_db(), "mae": found.mean_absolute(),
            "accuracy": found.accuracy(),
        });
        println!("{object}");
    }
    Ok(())
}
