//! Quantization of weights to int8.

use crate::calibrate::Inputs;
use crate::stage::Stage;

impl Stage {
    /// Quantizes weights per output channel and sets the quantization step of the inputs. Biases
    /// are corrected by the mean error of the sums (Nagel et al. 2019, "Data-Free Quantization
    /// Through Weight Equalization and Bias Correction").
    pub(crate) fn quantize(&mut self, inputs: &Inputs) {
        self.shape.step = inputs.best_step();
        if !self.shape.kind.has_weights() {
            return;
        }
        self.int8 = true;
        let columns = self.scales.len();
        for (column, scale) in self.scales.iter_mut().enumerate() {
            let values = || self.weights.iter().skip(column).step_by(columns);
            let largest = values().fold(0.0f32, |largest, weight| largest.max(weight.abs()));
            // Weights below 127 times the smallest normal number become zero.
            let unit = Some(largest / 127.0).filter(|unit| *unit >= f32::MIN_POSITIVE);
            let unit = unit.unwrap_or(1.0);
            let mut lost = 0.0;
            let weights = self.weights.iter_mut().skip(column).step_by(columns);
            for (weight, mean) in weights.zip(inputs.means.iter().cycle()) {
                let whole = (*weight / unit).round().clamp(-127.0, 127.0);
                lost += (*weight - whole * unit) * mean;
                *weight = whole;
            }
            self.biases[column] += lost * *scale;
            *scale *= unit * self.shape.step;
        }
    }
}
