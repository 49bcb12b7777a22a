//! The fast kernels: the bits of [`crate::reference`], sooner.
//!
//! Every kernel works on many output elements at a time and on the terms of each in the order of the definition. Two
//! ways lead there. The products of matrices, which convolutions are too, have packed micro-kernels written with
//! intrinsics ([`matrix`]). All else is plain code over slices, laid out so that the compiler vectorises it, and
//! compiled for AVX-512, for AVX2 and for any machine ([`crate::isa`]'s `multiversion`).

mod attention;
pub mod convolution;
pub mod integer;
pub mod matrix;
mod normalisation;
mod pooling;
mod recurrent;
mod reduction;
mod tile;

pub use attention::{causal_conv, linear_attention_read, linear_attention_write, rotate};
pub use normalisation::{batch_norm, group_norm, instance_norm, layer_norm, log_softmax, rms_norm, softmax};
pub use pooling::{average_pool, global_average_pool, global_max_pool, max_pool};
pub use recurrent::{gru_gates, gru_row, lstm_row, rnn_row};
pub use reduction::{reduce_extreme, reduce_mean, reduce_product, reduce_sum, reduce_sum_of_squares};
