//! Windows that slide over a map of values: the geometry of convolutions and pooling.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The windows of a convolution or a pool over a map `[height, width, channels]`.
///
/// Along each axis there are `(size + 2 padding - dilation (kernel - 1) - 1) / stride + 1` windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Geometry {
    /// Height, width and channels of the input map.
    pub input: [usize; 3],
    /// Channels of the output map; equal to the input's for pooling.
    pub channels: usize,
    /// The window.
    pub window: Window,
    /// Number of groups of channels; each group of outputs reads one group of inputs.
    pub groups: usize,
}

/// A sliding window. All pairs are (vertical, horizontal).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Distance between neighbouring positions of the window.
    pub stride: [usize; 2],
    /// Padding with zeros on every side.
    pub padding: [usize; 2],
    /// Distance between neighbouring elements of the window; 1 for adjacent elements.
    pub dilation: [usize; 2],
}

impl Window {
    /// A square window with stride 1 and no padding.
    pub fn square(side: usize) -> Self {
        Self { kernel: [side; 2], stride: [1; 2], padding: [0; 2], dilation: [1; 2] }
    }

    /// A square window whose stride is its side, so that windows tile the map.
    pub fn tiling(side: usize) -> Self {
        Self { stride: [side; 2], ..Self::square(side) }
    }

    /// Number of elements of the window.
    pub fn elements(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Extent of the window along an axis, dilation included.
    pub(crate) fn extent(&self, axis: usize) -> usize {
        self.dilation[axis] * (self.kernel[axis] - 1) + 1
    }
}

impl Geometry {
    /// A valid geometry.
    ///
    /// # Errors
    /// If a size is zero, the window is larger than the padded map, the padding reaches past the
    /// window, or the groups do not divide the channels.
    pub fn new(input: [usize; 3], channels: usize, window: Window, groups: usize) -> Result<Self> {
        let at_least_one = [
            ("a map without values", input.contains(&0)),
            ("zero output channels", channels == 0),
            ("a kernel of size zero", window.kernel.contains(&0)),
            ("a stride of zero", window.stride.contains(&0)),
            ("a dilation of zero", window.dilation.contains(&0)),
            ("zero groups", groups == 0),
        ];
        for (what, is_wrong) in at_least_one {
            if is_wrong {
                return Err(Error::setting(format!(
                    "{what}; the input is {input:?}, the window {window:?}"
                )));
            }
        }
        for axis in 0..2 {
            let padded = input[axis] + 2 * window.padding[axis];
            if window.extent(axis) > padded {
                return Err(Error::shape(format!(
                    "a kernel of {:?} with dilation {:?} is larger than its input {input:?} with padding {:?}",
                    window.kernel, window.dilation, window.padding
                )));
            }
            if window.padding[axis] >= window.extent(axis) {
                return Err(Error::setting(format!(
                    "a padding of {:?} lets a kernel of {:?} lie outside its input; it must be smaller than the kernel",
                    window.padding, window.kernel
                )));
            }
        }
        if !input[2].is_multiple_of(groups) || !channels.is_multiple_of(groups) {
            return Err(Error::setting(format!(
                "{groups} groups do not divide {} input and {channels} output channels",
                input[2]
            )));
        }
        Ok(Self { input, channels, window, groups })
    }

    /// Height, width and channels of the output map.
    pub fn output(&self) -> [usize; 3] {
        let positions = |axis: usize| {
            let free = self.input[axis] + 2 * self.window.padding[axis] - self.window.extent(axis);
            free / self.window.stride[axis] + 1
        };
        [positions(0), positions(1), self.channels]
    }

    /// Shape of the kernel matrix: `[height * width * input channels of a group, output channels]`.
    pub fn kernel_shape(&self) -> [usize; 2] {
        [self.window.elements() * self.input[2] / self.groups, self.channels]
    }

    /// Number of multiply-adds of a convolution of one sample.
    pub fn multiply_adds(&self) -> u64 {
        let [height, width, _] = self.output();
        let [rows, columns] = self.kernel_shape();
        (height * width * rows * columns) as u64
    }

    /// Position on the map of an element of a window, along an axis; `None` beyond the edge.
    #[cfg(feature = "flex")]
    #[inline(always)]
    pub(crate) fn source(&self, axis: usize, position: usize, element: usize) -> Option<usize> {
        let window = &self.window;
        let padded = position * window.stride[axis] + element * window.dilation[axis];
        let source = padded.checked_sub(window.padding[axis])?;
        (source < self.input[axis]).then_some(source)
    }
}
