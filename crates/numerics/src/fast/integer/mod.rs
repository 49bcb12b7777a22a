//! Products and convolutions of 8-bit integers, exact, and their requantisation.
//!
//! The left operand (activations) is multiplied as u8, the right one (weights) as i8: other types are moved by 128, and their zero
//! points with them. Sums are then those of the definition but for terms that depend on a row or a column alone,
//!
//! ```text
//! Σ (x − a)(w − b) = Σ xw − aΣw − bΣx + n·a·b      modulo 2³²
//! ```
//!
//! where Σw is known once weights are packed, so a sum starts at −a(Σw − n·b), plus the bias, and costs nothing more if b = 0.
//! Nothing saturates: `vpdpbusd` adds four products of at most 255 × 128 in 32 bits, `vpmaddwd` two of 16 bits.
//!
//! | file | what |
//! |---|---|
//! | `unit` | which instructions there are |
//! | `pack` | weights in panels |
//! | `tile` | the micro-kernels |
//! | `amx` | the same on tiles of sixteen rows |
//! | `product` | rows of tiles, wherever the rows lie |
//! | `image` | channels first and last, padding, windows |
//! | `transpose` | rows and columns of bytes exchanged |
//! | `conv`, `depthwise`, `gemm` | the operators |
//! | `winograd` | windows of 3×3 with fewer multiplications |
//! | `epilogue` | requantisation |

#[cfg(target_arch = "x86_64")]
mod amx;
mod conv;
mod depthwise;
mod epilogue;
mod gemm;
mod image;
mod pack;
mod product;
mod tile;
mod transpose;
mod unit;
mod winograd;

pub use conv::{
    ConvOutput, DEPTHWISE_LANES, PackedFilters, change_layout, conv_columns, conv_copies, conv_gathers,
    conv_is_depthwise, conv_places, integer_conv, integer_conv_scratch,
};
pub use gemm::{
    GemmOutput, PackedBytes, gemm_columns, integer_gemm, integer_gemm_nanoseconds, integer_gemm_scratch,
};
pub use image::Layout;
pub use unit::{Unit, force};

use crate::quantize::Byte;

/// The zero point of a tensor of bytes, and which bytes they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operand {
    /// What stands for 0.
    pub zero: i32,
    /// Whether they are i8.
    pub signed: bool,
}

impl Operand {
    /// Bytes of a type.
    #[must_use]
    pub fn of<B: Byte>(zero: i32) -> Self {
        Operand {
            zero,
            signed: B::RANGE.0 < 0,
        }
    }

    /// With the zero point that is 0 where bytes are multiplied.
    #[must_use]
    pub fn unshifted(self) -> Self {
        Operand {
            zero: if self.signed { -128 } else { 0 },
            ..self
        }
    }

    /// The zero point as bytes are multiplied: as u8.
    fn shifted_zero(self) -> i32 {
        self.zero.wrapping_add(if self.signed { 128 } else { 0 })
    }
}

/// What the columns of a product start at, and their zero points.
#[derive(Debug, Clone, Copy)]
pub struct Prepared<'a> {
    starts: &'a [i32],
    zeros: Option<&'a [i32]>,
}

impl<'a> Prepared<'a> {
    /// What `prepare` of the right operand has written.
    #[must_use]
    pub fn new(starts: &'a [i32], zeros: &'a [i32]) -> Self {
        let any = zeros.iter().any(|&zero| zero != 0);
        Prepared {
            starts,
            zeros: any.then_some(zeros),
        }
    }
}
