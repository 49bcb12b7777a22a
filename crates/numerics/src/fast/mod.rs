//! The fast kernels: the bits of [`crate::reference`], sooner.
//!
//! Every kernel works on many output elements at a time and on the terms of each in the order of the definition. Two
//! ways lead there. The products of matrices, which convolutions are too, have packed micro-kernels written with
//! intrinsics, sixteen lanes at a time ([`matrix`], `lanes`, `tile`). All else is plain code over slices, laid out so that the
//! compiler vectorises it, and compiled for AVX-512, for AVX2 and for any machine ([`crate::isa`]'s `multiversion`).
//!
//! Each fast path has one row here that names when it applies.
//!
//! | path | in | applies to |
//! |---|---|---|
//! | tiles of 14 × 32 (AVX-512), 6 × 16 (AVX2, any) | `tile` | all products of `f32` |
//! | thin tiles, up to 128 columns | `tile` | products of 1 to 5 rows (1 to 3 without AVX-512) |
//! | no blocks, no packing, no threads | [`matrix::gemm_packed`], [`matrix::gemm`] | products of one row that take less than 10 µs, or on one thread |
//! | right operand in panels, packed at load | [`matrix::gemm_packed`] | matrices known in advance |
//! | rows of the right operand added up | `ones` | rows of zeros and ones, at most one for 64 terms, times finite weights: one-hot encodings |
//! | right operand where it lies | [`matrix::gemm`] | columns side by side and at most a tile's rows |
//! | right operand packed by the run | [`matrix::gemm`] | all other products |
//! | convolution by windows | `windows` | fewer than 4 output channels in a group, or at most 4 input channels, several taps and rows that fill vectors; at most two axes of space |
//! | the same, four rows at a time | `windows` | one channel and 3 × 3 or 5 × 5 taps of stride 1 or 2 (depthwise) |
//! | convolution by positions | [`convolution`] | at least 4 output channels in a group, many positions |
//! | convolution by channels | [`blocks`] | one group, output channels that fill vectors as well as positions do; 64 terms and more, or 1 × 1 taps and up to 112 positions |
//! | two rows of 4 to 7 pixels in a tile | [`blocks`] | AVX-512, input in blocks |
//! | images in blocks of sixteen channels | [`blocks`] | convolutions of one group and depthwise ones, at most two axes of space; greatest pools, global pools; where a plan keeps an image so |
//! | padding beside an image instead of around a copy of it | `blocks/depthwise` | depthwise, in blocks |
//! | a pixel loaded once for all taps of a row | `blocks/depthwise` | the same with AVX-512, 3, 5 or 7 taps side by side, stride 1 or 2 (7: 1) |
//! | bias, residual and bounds in registers | [`blocks`] | the same, if the output is in blocks and the epilogue is [`epilogue::Simple`] |
//! | the same for products | `tile` | all products of `f32` whose epilogue is [`epilogue::Simple`] |
//! | the next panel on its way | `tile` | products of several tiles of rows |
//! | 1 × 1 convolution without packing | [`convolution`] | one tap, stride 1, no padding |
//! | convolution tap by tap | `depthwise` | fewer than 4 output channels in a group, three axes of space or vast windows |
//! | convolution plane by plane | `planes` | `f64` |
//! | greatest pools by whole vectors | `pooling` | `f32`, horizontal stride 1 or 2, lines of windows up to 512 elements |
//! | functions between bounds | `transcendental` | [`Transcendental`] functions of many `f32`, with AVX-512 or AVX2 |
//! | the same by pairs of `f32` | `pairs` | exp, erf and tanh, with AVX-512; tanh up to 3.93 |
//! | sums of bytes by two multiply-adds | [`crate::quantize`] | two quantised tensors of 65,536 elements and more, where the formula was found right for every pair of bytes; AVX2, AVX-512 or aarch64 |
//! | sums, differences, products and quotients in registers | [`arithmetic`] | operations on elements of `f32`, one after another |
//! | softmax row by row | `softmax` | rows of 16 elements and more of `f32`, with AVX-512 or AVX2 |
//! | tables of bytes in registers | `look_up` | functions of one byte that give a byte, with AVX-512 VBMI |
//! | folds in any order | `reduction` | maxima and minima, sums and products of integers |
//! | the last lanes of a row by a whole vector | `reduction` | sums in lanes of rows that others follow |
//! | columns shared out before rows | [`matrix`] | several threads; three times as many columns as rows, or as many and 2^19 elements of the right operand |
//! | pieces as equal as they can be | `share` | several threads; products and convolutions |
//! | bytes by the reciprocal, 64 together | [`crate::quantize`] | scales between 2^−60 and 2^60 with AVX2 or AVX-512; blocks in which a product is close to a half are divided |
//! | epilogues | [`epilogue`] | elementwise work on a product's or convolution's results |
//! | exact 8-bit products on VNNI, AVX2, any | [`integer`] | quantised products and convolutions; its table of files says which |
//! | the same on AMX's tiles | [`integer`] | at least 16 rows at equal distances, runs of at least 16 terms in steps of equal length, weights whose zero point is 0 |
//! | windows of 3 × 3 with a quarter of the multiplications (Winograd), exact | [`integer`] | convolutions of bytes to bytes, channels last on both sides, one group of 32 to 512 channels, 64 at least with AVX-512 VNNI, stride 1; AVX2 or AVX-512 VNNI; known weights whose zero point is 0 and whose sums stay within ±2^25; 16 tiles of 4 × 4 outputs (48 where weights fill the second cache), while there is room for transformed weights |
//! | images read in place | [`integer`] | convolutions of bytes with channels last and no padding |
//! | requantisation in the kernel | [`integer`] | results that are bytes again |
//! | zero points and bias in the kernel | [`integer`] | results that are sums, columns side by side, with AVX-512 VNNI |
//! | several threads, each with the part of every job that it had before | [`crate::pool`] | work of more than about 10 µs, if threads are set |

mod aligned;
pub mod arithmetic;
mod attention;
pub mod blocks;
pub mod convolution;
mod depthwise;
mod doubles;
pub mod epilogue;
pub mod integer;
mod kept;
mod lanes;
mod look_up;
pub mod matrix;
mod normalisation;
mod ones;
#[cfg(target_arch = "x86_64")]
mod pairs;
mod patches;
mod planes;
mod pooling;
mod recurrent;
mod reduction;
mod share;
mod softmax;
mod tile;
mod transcendental;
mod windows;

pub use attention::{causal_conv, linear_attention_read, linear_attention_write, rotate};
pub use look_up::look_up;
pub use normalisation::{batch_norm, group_norm, instance_norm, layer_norm, log_softmax, rms_norm, softmax};
pub use planes::conv_planes;
pub use pooling::{
    average_pool, can_put_first, global_average_pool, global_max_pool, max_pool, max_pool_channels_last,
    max_pool_channels_last_to_first, max_pool_of_floats,
};
pub use recurrent::{gru_gates, gru_row, lstm_row, rnn_row};
pub use reduction::{
    IntegerFold, reduce_extreme, reduce_integers, reduce_mean, reduce_product, reduce_sum,
    reduce_sum_of_squares,
};
pub(crate) use softmax::softmax_rows;
pub use transcendental::Transcendental;
