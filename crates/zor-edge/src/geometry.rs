//! Windows over maps `[height, width, channels]`, channels last.

#![forbid(unsafe_code)]

/// A sliding window over a map. All pairs are height, then width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Size of the window.
    pub kernel: [usize; 2],
    /// Distance between neighbouring positions of the window.
    pub stride: [usize; 2],
    /// Padding with zeros on every side.
    pub padding: [usize; 2],
    /// Distance between neighbouring elements of the window; 1 for adjacent elements.
    pub dilation: [usize; 2],
}

impl Window {
    /// A window of one position.
    pub const fn point() -> Self {
        Self { kernel: [1; 2], stride: [1; 2], padding: [0; 2], dilation: [1; 2] }
    }
}

/// A window, its input map and the pooling of its output map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Height, width and channels of the input map.
    pub input: [usize; 3],
    /// Channels of the output map.
    pub channels: usize,
    /// The window.
    pub window: Window,
    /// Side of the non-overlapping squares whose maximum is kept; 1 for no pooling.
    pub pool: usize,
}

impl Geometry {
    /// The geometry of a dense layer.
    pub const fn dense(inputs: usize, units: usize) -> Self {
        Self { input: [1, 1, inputs], channels: units, window: Window::point(), pool: 1 }
    }

    /// Height, width and channels of the output map, after pooling.
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

    /// Number of multiply-adds if no input is zero.
    pub fn multiply_adds(&self) -> u64 {
        let [height, width, channels] = self.output();
        let window = self.window.kernel[0] * self.window.kernel[1] * self.input[2];
        (height * width * self.pool * self.pool) as u64 * window as u64 * channels as u64
    }

    /// Calls `run` for every run of adjacent inputs under the window at a position of the
    /// (unpooled) output map, with the offset of the first input, the number of inputs, and the row
    /// of weights of the first.
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
                // Inputs that are adjacent in the map are adjacent under the window.
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
