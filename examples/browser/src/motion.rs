//! Motion of the pointer: learns how it moves from the first seconds, then scores it.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use zor_edge::{DetectorLearner, DetectorSettings, Stage, memory_len};

/// Number of samples of a window. Each has two values: the steps along both axes.
const SAMPLES: usize = 16;
/// Number of samples from a window to the next.
const STRIDE: usize = 4;
/// Number of windows in a row above the threshold that are strange: one alone may be by chance.
const IN_A_ROW: u32 = 2;
const SETTINGS: DetectorSettings =
    DetectorSettings { hidden: 32, ..DetectorSettings::new(2 * SAMPLES) };

/// A detector of strange motion.
pub(crate) struct Motion {
    detector: DetectorLearner<'static>,
    /// Steps of the pointer, oldest first.
    window: [f32; 2 * SAMPLES],
    last: Option<[f32; 2]>,
    /// Samples since the last window; at the start, until the first.
    since: usize,
    /// Number of windows that were learned from or calibrated on.
    windows: usize,
    /// Windows above the threshold in a row.
    above: u32,
}

impl Motion {
    pub(crate) fn new() -> Self {
        // The memory lives as long as the page, which is reset only a few times.
        let memory = vec![0.0; memory_len(&SETTINGS)].leak();
        match DetectorLearner::new(SETTINGS, memory) {
            Ok(detector) => Self {
                detector,
                window: [0.0; 2 * SAMPLES],
                last: None,
                since: 0,
                windows: 0,
                above: 0,
            },
            Err(error) => unreachable!("settings and memory are constants that fit: {error}"),
        }
    }

    /// Takes the place of the pointer, 50 times a second. Returns the score of a complete window;
    /// NaN if there is none or the detector is learning.
    pub(crate) fn move_to(&mut self, place: [f32; 2]) -> f32 {
        let Some(last) = self.last.replace(place) else { return f32::NAN };
        self.window.rotate_left(2);
        self.window[2 * SAMPLES - 2] = place[0] - last[0];
        self.window[2 * SAMPLES - 1] = place[1] - last[1];
        self.since += 1;
        let is_first = self.windows == 0 && self.detector.stage() == Stage::Collecting;
        if self.since < if is_first { SAMPLES } else { STRIDE } {
            return f32::NAN;
        }
        self.since = 0;
        match self.detector.stage() {
            Stage::Ready => {
                let score = self.detector.score(&self.window).unwrap_or(f32::NAN);
                self.above = if self.detector.is_alarm(score) { self.above + 1 } else { 0 };
                score
            }
            Stage::Training => f32::NAN,
            _ => {
                self.windows += usize::from(self.detector.push(&self.window).is_ok());
                f32::NAN
            }
        }
    }

    /// Takes training steps if they are due.
    pub(crate) fn train(&mut self, steps: u32) {
        (0..steps).for_each(|_| _ = self.detector.train());
    }

    /// Share of the windows that are needed until it is ready, from 0 to 1.
    pub(crate) fn progress(&self) -> f32 {
        self.windows as f32 / (2 * SETTINGS.rows) as f32
    }

    pub(crate) fn is_training(&self) -> bool {
        self.detector.stage() == Stage::Training
    }

    pub(crate) fn is_strange(&self) -> bool {
        self.above >= IN_A_ROW
    }

    /// Score above which a window is strange.
    pub(crate) fn threshold(&self) -> f32 {
        self.detector.scoring().threshold
    }
}

static MOTION: LazyLock<Mutex<Motion>> = LazyLock::new(|| Mutex::new(Motion::new()));

/// The state of the page.
pub(crate) fn motion() -> MutexGuard<'static, Motion> {
    MOTION.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn motion_that_was_not_learned_is_strange() {
        let mut motion = Motion::new();
        let mut noise = 1u32;
        let mut jitter = || {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (noise >> 8) as f32 / 16_777_216.0 - 0.5
        };
        let mut strange = [0, 0];
        for time in 0..4000 {
            let is_wild = time >= 3000;
            let (angle, size) = (time as f32 * 0.09, if is_wild { 60.0 } else { 1.0 });
            let place = [200.0 + 150.0 * angle.cos(), 150.0 + 90.0 * (1.3 * angle).sin()];
            motion.move_to(place.map(|axis| axis + size * jitter()));
            if motion.is_training() {
                motion.train(50);
            }
            strange[usize::from(is_wild)] += usize::from(motion.is_strange());
        }
        assert_eq!(motion.progress(), 1.0);
        assert!(strange[0] < 200 && strange[1] > 900, "{strange:?}");
    }
}
