//! Held against Pillow, numpy and transformers, and against hostile files.

mod counting;
mod decode;
mod fixtures;
mod golden;
mod hostile;
mod memory;
mod resize;
mod rule;
