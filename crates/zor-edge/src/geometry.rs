//! Where a window looks: maps `[height, width, channels]`, channels last.

#![forbid(unsafe_code)]

/// A window that slides over a map. All pairs are height, then width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its size.
    pub kernel: [usize; 2],
    /// How far it moves.
    pub stride: [usize; 2],
    /// How far it reaches over the edge, where values are zero.
    pub padding: [usize; 2],
    /// How far apart the values under it are.
    pub dilation: [usize; 2],
}

impl Window {
    /// A window on one position.
    pub const fn point() -> Self {
        Self { kernel: [1; 2], stride: [1; 2], padding: [0; 2], dilation: [1; 2] }
    }
}

/// A window, the map below it and what is kept of the map above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Height, width and channels of the map below.
    pub input: [usize; 3],
    /// Channels of the map above.
    pub channels: usize,
    /// The window.
    pub window: Window,
    /// Of every square of this side, one beside the other, the largest output is kept; 1 keeps all.
    pub pool: usize,
}

impl Geometry {
    /// Of a dense layer.
    pub const fn dense(inputs: usize, units: usize) -> Self {
        Self { input: [1, 1, inputs], channels: units, window: Window::point(), pool: 1 }
    }

    /// Height, width and channels of the map above.
    pub fn output(&self) -> [usize; 3] {
        // Most of these divisors are 1, and a division takes as long as 20 additions.
        let by = |n: usize, divisor: usize| match divisor {
            1 => Some(n),
            _ => n.checked_div(divisor),
        };
        let side = |axis: usize| {
            let window = &self.window;
            let whole = self.input.get(axis).copied().unwrap_or(0)
                + 2 * window.padding.get(axis).copied().unwrap_or(0);
            let reach = |list: &[usize; 2]| list.get(axis).copied().unwrap_or(0);
            let covered =
                reach(&window.dilation).saturating_mul(reach(&window.kernel).saturating_sub(1)) + 1;
            let steps = whole.checked_sub(covered).and_then(|room| by(room, reach(&window.stride)));
            steps.and_then(|steps| by(steps + 1, self.pool)).unwrap_or(0)
        };
        [side(0), side(1), self.channels]
    }

    /// Multiply-adds if nothing is silent.
    pub fn multiply_adds(&self) -> u64 {
        let [height, width, channels] = self.output();
        let window = self.window.kernel[0] * self.window.kernel[1] * self.input[2];
        (height * width * self.pool * self.pool) as u64 * window as u64 * channels as u64
    }

    /// Calls back for every run of neighbouring inputs under the window at a position of the (not
    /// yet pooled) map above: with the place of the first of them in the map below, how many there
    /// are, and the row of weights of the first.
    #[inline]
    pub(crate) fn runs(&self, [y, x]: [usize; 2], mut run: impl FnMut(usize, usize, usize)) {
        let [height, width, channels] = self.input;
        let Window { kernel, stride, padding, dilation } = self.window;
        let top = (y * stride[0]) as isize - padding[0] as isize;
        let left = (x * stride[1]) as isize - padding[1] as isize;
        for kernel_y in 0..kernel[0] {
            let row = top + (kernel_y * dilation[0]) as isize;
            if row < 0 || row >= height as isize {
                continue;
            }
            let place = |column: isize| (row as usize * width + column as usize) * channels;
            if dilation[1] == 1 {
                // What lies side by side in the map lies so under the window too.
                let from = (-left).max(0);
                let to = (width as isize - left).min(kernel[1] as isize);
                if from < to {
                    let first = (kernel_y * kernel[1] + from as usize) * channels;
                    run(place(left + from), (to - from) as usize * channels, first);
                }
                continue;
            }
            for kernel_x in 0..kernel[1] {
                let column = left + (kernel_x * dilation[1]) as isize;
                if column >= 0 && column < width as isize {
                    run(place(column), channels, (kernel_y * kernel[1] + kernel_x) * channels);
                }
            }
        }
    }
}
