//! zor-io
