//! The precision of matrix products on GPUs.

use std::str::FromStr;
use std::sync::atomic::{AtomicU8, Ordering};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Number format of the operands of matrix products on a GPU; sums and all other operations use
/// f32.
///
/// One setting for the whole process: which format is fastest depends on the card, not on a layer.
/// CPUs always multiply f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Precision {
    /// 24 significant bits, as on the CPU.
    #[default]
    F32,
    /// 11 significant bits on cards whose tensor cores support TF32, else f32: relative errors of
    /// up to about 1e-3 per term. Convolutions by burn's kernels use it on such cards in any case.
    Tf32,
    /// 8 significant bits: relative errors of up to about 1e-2 per term.
    Bf16,
}

static PRECISION: AtomicU8 = AtomicU8::new(Precision::F32 as u8);

impl Precision {
    /// All precisions, the most exact first.
    pub const ALL: [Self; 3] = [Self::F32, Self::Tf32, Self::Bf16];

    /// Name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
        }
    }

    /// Sets the precision of all further matrix products of the process.
    pub fn set(self) {
        PRECISION.store(self as u8, Ordering::Relaxed);
    }

    /// The current precision of matrix products.
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
            Error::setting(format!(
                "'{name}' is not a precision of matrix products; choose from {names}"
            ))
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
