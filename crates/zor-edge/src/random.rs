//! Random numbers: xorshift64* (Vigna 2016), and normal ones (Box and Muller 1958).

#![forbid(unsafe_code)]

/// A random generator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number between 0 and 1 from the upper 24 bits, never zero.
    pub(crate) fn uniform(&mut self) -> f32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40;
        (bits as f32 + 0.5) / 16_777_216.0
    }

    /// A number with mean 0 and standard deviation 1.
    pub(crate) fn normal(&mut self) -> f32 {
        let radius = libm::sqrtf(-2.0 * libm::logf(self.uniform()));
        let angle = 2.0 * core::f32::consts::PI * self.uniform();
        radius * libm::cosf(angle)
    }

    /// An index below `n`; 0 if there is none.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((self.uniform() * n as f32) as usize).min(n.saturating_sub(1))
    }
}
