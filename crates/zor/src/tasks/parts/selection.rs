//! Selection of training examples and of held-out examples.

use zor_core::Random;
use zor_data::members_of_classes;

use crate::error::{Error, Result};
use crate::settings::{Selection, Settings, TrainingSize};

/// Splits examples into indices to train on and indices to hold out. The `n` held-out examples are
/// the last ones, in proportion to the class sizes. Examples without classes count as one class.
///
/// # Errors
/// When no training examples would be left.
pub(crate) fn hold_out(labels: &[u32], n: usize, unit: &str) -> Result<(Vec<usize>, Vec<usize>)> {
    if n >= labels.len() {
        return Err(Error::input(format!(
            "hold_out is {n}, but there are only {} {unit} in all",
            labels.len()
        )));
    }
    let mut is_held_out = vec![false; labels.len()];
    let classes = members_of_classes(labels);
    // Shares are rounded down; the classes with the largest remainders get one more each.
    let share = |class: &Vec<usize>| class.len() * n / labels.len();
    let mut counts: Vec<usize> = classes.iter().map(share).collect();
    let mut order: Vec<usize> = (0..classes.len()).collect();
    order.sort_by_key(|&class| std::cmp::Reverse(classes[class].len() * n % labels.len()));
    let missing = n - counts.iter().sum::<usize>();
    order.into_iter().take(missing).for_each(|class| counts[class] += 1);
    for (class, count) in classes.iter().zip(counts) {
        class.iter().rev().take(count).for_each(|&index| is_held_out[index] = true);
    }
    Ok(split(&is_held_out))
}

/// Splits examples into indices to train on and every `nth` index of each class.
pub(crate) fn every(labels: &[u32], nth: usize) -> (Vec<usize>, Vec<usize>) {
    let mut is_held_out = vec![false; labels.len()];
    for class in members_of_classes(labels) {
        let evaluated = class.iter().skip(nth - 1).step_by(nth);
        evaluated.for_each(|&index| is_held_out[index] = true);
    }
    split(&is_held_out)
}

/// Selects the training examples from the indices in `pool` according to the settings. `labels` are
/// those of all examples; `None` if there are no classes.
///
/// # Errors
/// When there are too few examples, or a number per class is requested but there are no classes.
pub(crate) fn learned_from(
    pool: Vec<usize>,
    labels: Option<&[u32]>,
    settings: &Settings,
    random: &mut Random,
    unit: &str,
) -> Result<Vec<usize>> {
    let few = |n: usize, found: usize, of: &str| {
        Error::input(format!("{n} {unit}{of} are requested, but there are only {found}"))
    };
    let choose = |n: usize, mut members: Vec<usize>, random: &mut Random| {
        if settings.samples == Selection::Random {
            random.shuffle(&mut members);
        }
        members.truncate(n);
        members.sort_unstable();
        members
    };
    match (settings.training_size(), labels) {
        (TrainingSize::All, _) => Ok(pool),
        (TrainingSize::Total(n), _) if n > pool.len() => Err(few(n, pool.len(), "")),
        (TrainingSize::Total(n), _) => Ok(choose(n, pool, random)),
        (TrainingSize::PerClass(_), None) => Err(Error::input(
            "samples_per_class has no effect here: there are no classes; give train_samples",
        )),
        (TrainingSize::PerClass(n), Some(labels)) => {
            let own: Vec<u32> = pool.iter().map(|&index| labels[index]).collect();
            let mut chosen = Vec::new();
            for class in members_of_classes(&own) {
                if class.len() < n {
                    return Err(few(n, class.len(), " of each class"));
                }
                let members = class.into_iter().map(|at| pool[at]).collect();
                chosen.extend(choose(n, members, random));
            }
            Ok(chosen)
        }
    }
}

fn split(is_held_out: &[bool]) -> (Vec<usize>, Vec<usize>) {
    (0..is_held_out.len()).partition(|&index| !is_held_out[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: [u32; 10] = [0, 0, 0, 1, 1, 1, 1, 1, 1, 2];

    #[test]
    fn each_class_is_held_out_by_its_share_from_the_end() {
        let (train, held_out) = hold_out(&LABELS, 3, "rows").unwrap();
        assert_eq!((train, held_out), (vec![0, 1, 3, 4, 5, 6, 9], vec![2, 7, 8]));
        for n in 1..10 {
            let (train, held_out) = hold_out(&LABELS, n, "rows").unwrap();
            assert_eq!((train.len(), held_out.len()), (10 - n, n));
        }
        let error = hold_out(&LABELS, 10, "rows").unwrap_err().to_string();
        assert!(error.contains("hold_out is 10, but there are only 10 rows"), "{error}");
        assert_eq!(hold_out(&[0; 5], 2, "rows").unwrap().1, [3, 4]);
    }

    #[test]
    fn every_third_of_each_class_is_evaluated_on() {
        assert_eq!(every(&LABELS, 3).1, [2, 5, 8]);
    }

    #[test]
    fn examples_are_chosen_by_number_or_class() {
        let choose = |more: &str, labels: Option<&[u32]>| {
            let text = format!("task = 'fashion-classification'\n{more}");
            let settings = crate::task::Plan::parse(&text).unwrap().settings;
            learned_from((0..9).collect(), labels, &settings, &mut Random::seeded(1), "rows")
        };
        assert_eq!(choose("", None).unwrap().len(), 9);
        assert_eq!(choose("train_samples = 4", None).unwrap(), [0, 1, 2, 3]);
        let random = choose("train_samples = 4\nsamples = 'random'", None).unwrap();
        assert!(random.is_sorted() && random != [0, 1, 2, 3], "{random:?}");
        let per_class = choose("samples_per_class = 2", Some(&LABELS)).unwrap();
        assert_eq!(per_class, [0, 1, 3, 4]);
        for (text, labels, words) in [
            ("train_samples = 10", None, "10 rows are requested, but there are only 9"),
            ("samples_per_class = 4", Some(&LABELS[..]), "4 rows of each class are requested"),
            ("samples_per_class = 4", None, "there are no classes"),
        ] {
            let error = choose(text, labels).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
