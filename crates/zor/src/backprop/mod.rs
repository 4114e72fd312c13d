//! Backpropagation on the same networks and batches, as a reference for the local rule and as a
//! baseline.

pub mod alignment;
pub mod autodiff;
pub mod baseline;

mod attention;
