//! Loads the examples of trainings.

use zor::settings::{Selection, TrainingSize};
use zor::task::{Data, Plan};

use crate::paths::text;

/// Loads the examples of trainings from the usual places, and caches the last ones: many trainings
/// in a row need equal examples.
#[derive(Default)]
pub(crate) struct Loader(Option<(Examples, Data)>);

/// Settings that the examples depend on.
#[derive(PartialEq)]
struct Examples {
    task: &'static str,
    size: TrainingSize,
    samples: Selection,
    /// None where the seed does not select examples.
    seed: Option<u64>,
    hold_out: Option<usize>,
}

impl Loader {
    /// Returns the examples of a training. A missing data set is downloaded if possible.
    pub(crate) fn load(&mut self, plan: &Plan) -> Result<Data, String> {
        let asked = Examples {
            task: plan.task.name(),
            size: plan.settings.training_size(),
            samples: plan.settings.samples,
            seed: (plan.settings.samples == Selection::Random).then_some(plan.settings.seed),
            hold_out: plan.settings.hold_out,
        };
        if let Some((kept, data)) = &self.0
            && *kept == asked
        {
            return Ok(data.clone());
        }
        // Dropped first: two sets at once would take twice the memory.
        self.0 = None;
        let data = plan.task.load(&plan.settings, &mut |line| println!("{line}")).map_err(text)?;
        self.0 = Some((asked, data.clone()));
        Ok(data)
    }
}
