//! `zor eval`: metrics of a saved model on the evaluation data of its task or on the user's own
//! data.

use serde_json::json;

use super::arguments::EvalArguments;
use crate::run::results;
use crate::task::{DataLocation, Model, Plan};
use crate::training::evaluate::evaluate;
use crate::{Error, Result, settings};

pub(super) fn run(arguments: &EvalArguments) -> Result<()> {
    settings::check_threads(arguments.threads)?;
    super::train::set_threads(arguments.threads)?;
    let device = crate::device(&arguments.device)?;
    let model = Model::load(&arguments.model, &device)?;
    let task = model.plan.task;
    let plan = Plan { task, settings: arguments.views.settings(&model.plan.settings) };
    if let Some((key, reason)) = plan.changed_without_effect(&model.plan.settings) {
        let flag = key.replace('_', "-");
        return Err(Error::input(format!("--{flag} has no effect here: {reason}")));
    }
    let place = DataLocation {
        data: arguments.data.clone(),
        data_dir: arguments.data_dir.clone(),
        label: arguments.label.clone(),
    };
    if place.label.is_some() && !task.commands().contains(&"detect") {
        return Err(Error::input("--label has no effect here: it is for detectors"));
    }
    let mut last = None;
    for set in task.evaluation_sets(&model, &place)? {
        set.remarks.iter().for_each(|remark| tell!("warning: {remark}"));
        let score = evaluate(&model.network, &plan, &*set.examples, &device)?;
        let figures: Vec<String> =
            score.figures.iter().map(|figure| format!("{} {figure}", figure.label)).collect();
        let n = set.examples.len();
        let line = format!("{:<30} {n:>6} {}   {}", set.name, set.unit, figures.join(", "));
        if arguments.json {
            tell!("{line}")
        } else {
            say!("{line}")
        }
        last = Some((score, n, set.left_out));
    }
    if let (true, Some((score, n, left_out))) = (arguments.json, last) {
        let mut object = json!({
            "task": task.name(),
            "model": model.path.to_string_lossy(),
            "parameters": model.network.n_parameters(),
            "eval_samples": n,
        });
        results::add(&mut object, score.to_json());
        if left_out > 0 {
            object["left_out"] = left_out.into();
        }
        say!("{object}");
    }
    Ok(())
}
