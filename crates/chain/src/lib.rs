//! chain
pub mod pool;
