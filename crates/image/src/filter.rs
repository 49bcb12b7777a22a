//! The filters of resizing, as Pillow has them.

use serde::{Deserialize, Serialize};
use synod_numerics::math::double;

/// How a pixel of the resized picture follows from those under it. All but [`Nearest`](Self::Nearest) are stretched when the
/// picture shrinks, so that every pixel counts (antialiasing).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// The pixel under the middle; nothing is mixed. Pillow's and transformers' number 0.
    Nearest,
    /// A windowed sinc of three lobes. Number 1.
    Lanczos,
    /// A triangle. Number 2.
    Bilinear,
    /// Keys' cubic with a = −0.5. Number 3.
    Bicubic,
    /// A rectangle. Number 4.
    Box,
    /// A sinc of one lobe in a Hamming window. Number 5.
    Hamming,
}

impl Filter {
    /// The filter of Pillow's number, as `resample` in `preprocessor_config.json` gives it.
    #[must_use]
    pub const fn from_pillow(number: u64) -> Option<Self> {
        Some(match number {
            0 => Self::Nearest,
            1 => Self::Lanczos,
            2 => Self::Bilinear,
            3 => Self::Bicubic,
            4 => Self::Box,
            5 => Self::Hamming,
            _ => return None,
        })
    }

    /// How far the filter reaches to each side, in pixels of the larger picture.
    pub(crate) const fn support(self) -> f64 {
        match self {
            Self::Nearest => 0.0,
            Self::Box => 0.5,
            Self::Bilinear | Self::Hamming => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    /// The weight of a pixel at distance x. Every operation is rounded, in the order in which it stands.
    pub(crate) fn weight(self, x: f64) -> f64 {
        match self {
            Self::Nearest => unreachable!("nothing is weighed"),
            Self::Box => {
                if x > -0.5 && x <= 0.5 {
                    1.0
                } else {
                    0.0
                }
            }
            Self::Bilinear => {
                let x = x.abs();
                if x < 1.0 { 1.0 - x } else { 0.0 }
            }
            Self::Bicubic => {
                const A: f64 = -0.5;
                let x = x.abs();
                if x < 1.0 {
                    ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
                } else if x < 2.0 {
                    (((x - 5.0) * x + 8.0) * x - 4.0) * A
                } else {
                    0.0
                }
            }
            Self::Lanczos => {
                if (-3.0..3.0).contains(&x) {
                    sinc(x) * sinc(x / 3.0)
                } else {
                    0.0
                }
            }
            Self::Hamming => {
                let x = x.abs();
                if x == 0.0 {
                    1.0
                } else if x >= 1.0 {
                    0.0
                } else {
                    let x = x * std::f64::consts::PI;
                    // Pillow writes these two as f32
                    double::sin(x) / x * (f64::from(0.54_f32) + f64::from(0.46_f32) * double::cos(x))
                }
            }
        }
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let x = x * std::f64::consts::PI;
    double::sin(x) / x
}
