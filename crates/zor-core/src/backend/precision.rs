//! How exactly GPUs multiply matrices.

use std::str::FromStr;
use std::sync::atomic::{AtomicU8, Ordering};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The numbers that a GPU's matrix products are made of; sums are always f32, and so is everything
/// else.
///
/// One setting for the whole process: what a card multiplies fastest is the card's matter, not a
/// layer's. CPUs multiply f32 whatever it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Precision {
    /// 24 bits, as on the CPU.
    #[default]
    F32,
    /// 11 bits on cards whose tensor cores take TF32, else f32: a product is off by up to about
    /// 1e-3 of its terms. Convolutions by burn's kernels are so on such cards in any case.
    Tf32,
    /// 8 bits: off by up to about 1e-2 of its terms.
    Bf16,
}

static PRECISION: AtomicU8 = AtomicU8::new(Precision::F32 as u8);

impl Precision {
    /// All of them, the most exact first.
    pub const ALL: [Self; 3] = [Self::F32, Self::Tf32, Self::Bf16];

    /// Its name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
        }
    }

    /// The precision of all products from now on.
    pub fn set(self) {
        PRECISION.store(self as u8, Ordering::Relaxed);
    }

    /// The precision that products have now.
    pub fn current() -> Self {
        let stored = PRECISION.load(Ordering::Relaxed);
        Self::ALL.into_iter().find(|one| *one as u8 == stored).unwrap_or_default()
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::setting(format!("'{name}' is no precision of products; choose from {names}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for one in Precision::ALL {
            assert_eq!(one.name().parse(), Ok(one));
        }
        assert!("f64".parse::<Precision>().is_err_and(|e| e.to_string().contains("tf32")));
    }
}
