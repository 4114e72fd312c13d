//! The last standardised rows of a stream, and the windows in them.

use zor_core::Random;

/// Number of values that describe a time.
pub(super) const TIME: usize = 6;
const DAY: f64 = 86_400.0;

/// Describes a time in seconds as places in the day and in the week; zeros if it is not known.
pub(super) fn place_in_time(time: Option<f64>) -> [f32; TIME] {
    let Some(time) = time.filter(|time| time.is_finite()) else { return [0.0; TIME] };
    let angle = |period: f64| std::f64::consts::TAU * time.rem_euclid(period) / period;
    let (day, week) = (angle(DAY), angle(7.0 * DAY));
    [day.sin(), day.cos(), (2.0 * day).sin(), (2.0 * day).cos(), week.sin(), week.cos()]
        .map(|value| value as f32)
}

/// Rows in the order of their arrival, each with its place in time.
#[derive(Clone, Debug)]
pub(super) struct History {
    channels: usize,
    window: usize,
    /// Maximum number of windows.
    most: usize,
    rows: Vec<f32>,
}

impl History {
    /// Keeps this number of windows.
    pub(super) fn new(channels: usize, window: usize, most: usize) -> Self {
        Self { channels, window, most, rows: Vec::new() }
    }

    /// Number of channels of a row.
    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    fn stride(&self) -> usize {
        self.channels + TIME
    }

    /// Number of windows.
    pub(super) fn windows(&self) -> usize {
        (self.rows.len() / self.stride() + 1).saturating_sub(self.window)
    }

    /// Number of inputs of a network for windows: values, flags, the time, and a one.
    pub(super) fn inputs(&self) -> usize {
        2 * self.outputs() + TIME + 1
    }

    /// Number of values in a window.
    pub(super) fn outputs(&self) -> usize {
        self.window * self.channels
    }

    /// Adds a row.
    pub(super) fn push(&mut self, row: &[f32], time: [f32; TIME]) {
        self.rows.extend_from_slice(row);
        self.rows.extend_from_slice(&time);
        // The oldest rows go many at a time.
        if self.windows() > 2 * self.most {
            let surplus = self.windows() - self.most;
            self.rows.drain(..surplus * self.stride());
        }
    }

    /// Values of a window, of which 0 is the oldest that is kept.
    fn values(&self, window: usize) -> impl Iterator<Item = f32> {
        let rows = self.rows[window * self.stride()..].chunks_exact(self.stride());
        rows.take(self.window).flat_map(|row| row[..self.channels].iter().copied())
    }

    /// Appends the input of a window whose newest row is hidden.
    pub(super) fn push_newest(&self, window: usize, inputs: &mut Vec<f32>) {
        let first_hidden = self.outputs() - self.channels;
        self.push_input(window, inputs, |cell| cell < first_hidden, || 0.0);
    }

    /// Appends a random recent window to a batch: its input, in which cells are hidden and noisy,
    /// its values, and whether they are known.
    pub(super) fn push_example(
        &self,
        [inputs, values, known]: [&mut Vec<f32>; 3],
        corruption: Corruption,
        random: &mut Random,
    ) {
        let windows = self.windows();
        let recent = windows.min(self.most);
        let window = windows - recent + random.below(recent);
        let first_of_newest = self.outputs() - self.channels;
        let share = random.uniform() * corruption.most_hidden;
        let is_shown: Vec<bool> = (0..self.outputs())
            .map(|cell| {
                !(random.chance(share) || corruption.hide_newest && cell >= first_of_newest)
            })
            .collect();
        let noise = || corruption.noise * random.normal();
        self.push_input(window, inputs, |cell| is_shown[cell], noise);
        for value in self.values(window) {
            values.push(if value.is_nan() { 0.0 } else { value });
            known.push(if value.is_nan() { 0.0 } else { 1.0 });
        }
    }

    fn push_input(
        &self,
        window: usize,
        inputs: &mut Vec<f32>,
        is_shown: impl Fn(usize) -> bool,
        mut noise: impl FnMut() -> f32,
    ) {
        let start = inputs.len();
        for (cell, value) in self.values(window).enumerate() {
            let is_shown = is_shown(cell) && !value.is_nan();
            inputs.push(if is_shown { value + noise() } else { 0.0 });
        }
        let end = inputs.len();
        for (cell, value) in (start..end).zip(self.values(window)) {
            inputs.push(if is_shown(cell - start) && !value.is_nan() { 1.0 } else { 0.0 });
        }
        let newest = (window + self.window - 1) * self.stride() + self.channels;
        inputs.extend_from_slice(&self.rows[newest..][..TIME]);
        inputs.push(1.0);
    }
}

/// What is hidden of a window that is learned from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Corruption {
    /// Maximum share of hidden cells.
    pub(super) most_hidden: f32,
    /// Whether the newest row is hidden in any case.
    pub(super) hide_newest: bool,
    /// Standard deviation of the noise on shown cells.
    pub(super) noise: f32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(rows: usize, most: usize) -> History {
        let mut history = History::new(2, 3, most);
        for row in 0..rows {
            let value = row as f32;
            history.push(&[value, if row == 1 { f32::NAN } else { -value }], [0.5; TIME]);
        }
        history
    }

    #[test]
    fn the_newest_row_and_missing_cells_are_hidden() {
        let history = history(4, 10);
        assert_eq!((history.windows(), history.inputs(), history.outputs()), (2, 19, 6));
        let mut inputs = Vec::new();
        history.push_newest(1, &mut inputs);
        assert_eq!(inputs[..6], [1.0, 0.0, 2.0, -2.0, 0.0, 0.0]);
        assert_eq!(inputs[6..12], [1.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
        assert_eq!(inputs[12..], [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 1.0]);
    }

    #[test]
    fn an_example_is_a_window_with_flags_of_what_is_shown() {
        let history = history(30, 10);
        let mut random = Random::seeded(0);
        let corruption = Corruption { most_hidden: 0.6, hide_newest: true, noise: 0.0 };
        let mut newest = Vec::new();
        for _ in 0..100 {
            let (mut inputs, mut values, mut known) = (Vec::new(), Vec::new(), Vec::new());
            let batch = [&mut inputs, &mut values, &mut known];
            history.push_example(batch, corruption, &mut random);
            assert_eq!((inputs.len(), values.len(), known.len()), (19, 6, 6));
            assert_eq!(inputs[4..6], [0.0; 2]);
            for cell in 0..6 {
                assert_eq!(inputs[cell], values[cell] * inputs[6 + cell]);
            }
            newest.push(values[4] as usize);
        }
        assert_eq!(newest.iter().min(), Some(&20));
        assert_eq!(newest.iter().max(), Some(&29));
    }

    #[test]
    fn memory_is_constant() {
        assert!(history(1000, 10).windows() <= 20);
        assert_eq!(history(2, 10).windows(), 0);
    }

    #[test]
    fn a_time_is_a_place_in_the_day_and_in_the_week() {
        let noon = place_in_time(Some(1.5 * DAY));
        let expected = [0.0, -1.0, 0.0, 1.0];
        assert!(noon.iter().zip(expected).all(|(place, expected)| (place - expected).abs() < 1e-6));
        assert_eq!(place_in_time(None), [0.0; TIME]);
        assert_eq!(place_in_time(Some(f64::NAN)), [0.0; TIME]);
    }
}
