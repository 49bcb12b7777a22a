//! What a network reads.

/// A tensor of one picture: `1 × channels × height × width` or `1 × height × width × channels`, elements row by row.
#[derive(Debug, Clone, PartialEq)]
pub enum Tensor {
    /// Of 32-bit floats.
    F32 {
        /// Its dimensions.
        shape: [usize; 4],
        /// As many elements as the dimensions' product.
        data: Vec<f32>,
    },
    /// Of bytes.
    U8 {
        /// Its dimensions.
        shape: [usize; 4],
        /// As many elements as the dimensions' product.
        data: Vec<u8>,
    },
}

impl Tensor {
    /// Its dimensions.
    #[must_use]
    pub const fn shape(&self) -> [usize; 4] {
        match self {
            Self::F32 { shape, .. } | Self::U8 { shape, .. } => *shape,
        }
    }
}
