//! Backpropagation on the same networks and batches: as a reference for the rule, and for
//! comparison.

pub mod alignment;
pub mod autodiff;
pub mod baseline;
