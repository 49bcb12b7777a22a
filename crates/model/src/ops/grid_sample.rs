//! GridSample (versions 16, 20, 22): an image read at the places of a grid, between its elements by interpolation. AffineGrid (20): the
//! grid of an affine map.
//!
//! All in the computing type. A place is interpolated axis by axis, the last axis first, each as a chain of fused products over its
//! taps. A coordinate that is NaN counts as the lower border; coordinates are held within ±2^30.

use super::{
    AttributeError, DType, Definition, FLOATS, Inputs, Kernel, OpError, Operator, Path, TensorType, Work,
    floats::{Compute, FloatKernel, FloatOperation, Known, on_floats, required},
    streamed,
    window::image,
};
use crate::shape::shape_from_i64s;
use synod_numerics::float::Float;

/// `GridSample`
pub(super) const GRID_SAMPLE: Definition = Definition {
    name: "GridSample",
    since: &[16, 20, 22],
    inputs: 2..=2,
    outputs: 1..=1,
    parse: |node| {
        let refuse = |name, value: &str, expected| -> Result<Box<dyn Operator>, OpError> {
            Err(AttributeError::Value {
                name,
                value: value.to_owned(),
                expected,
            }
            .into())
        };
        let mode = match (node.attributes.string("mode")?.as_deref(), node.version >= 20) {
            (None, _) | (Some("linear"), true) | (Some("bilinear"), false) => Mode::Linear,
            (Some("nearest"), _) => Mode::Nearest,
            (Some("cubic"), true) | (Some("bicubic"), false) => Mode::Cubic,
            (Some(other), true) => return refuse("mode", other, "linear, nearest, cubic"),
            (Some(other), false) => return refuse("mode", other, "bilinear, nearest, bicubic"),
        };
        let padding = match node.attributes.string("padding_mode")?.as_deref() {
            None | Some("zeros") => Padding::Zeros,
            Some("border") => Padding::Border,
            Some("reflection") => Padding::Reflection,
            Some(other) => return refuse("padding_mode", other, "zeros, border, reflection"),
        };
        let align_corners = node.attributes.flag("align_corners", false)?;
        Ok(Box::new(GridSample {
            mode,
            padding,
            align_corners,
        }))
    },
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Nearest,
    Linear,
    Cubic,
}

impl Mode {
    fn taps(self) -> usize {
        match self {
            Self::Nearest => 1,
            Self::Linear => 2,
            Self::Cubic => 4,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Padding {
    Zeros,
    Border,
    Reflection,
}

#[derive(Debug, Clone, Copy)]
struct GridSample {
    mode: Mode,
    padding: Padding,
    align_corners: bool,
}

/// Images, channels, and the sizes of the three axes of space, of input and output.
type Sizes = (usize, usize, [usize; 3], [usize; 3]);

fn sizes(inputs: &Inputs<'_>) -> Result<(Sizes, usize), OpError> {
    let (x, grid) = (inputs.of_types(0, FLOATS)?, inputs.of_types(1, FLOATS)?);
    let (batch, channels, space) = image(x.shape)?;
    let fits = grid.shape.len() == x.shape.len()
        && grid.shape[0] == batch
        && grid.shape.last() == Some(&space.len())
        && space.len() <= 3
        && !space.contains(&0);
    if !fits {
        return Err(OpError::Shape(format!(
            "a grid of shape {:?} does not name places in images of shape {:?}",
            grid.shape, x.shape
        )));
    }
    let places = &grid.shape[1..grid.shape.len() - 1];
    let three = |dims: &[usize]| {
        let mut sizes = [1; 3];
        sizes[3 - dims.len()..].copy_from_slice(dims);
        sizes
    };
    Ok(((batch, channels, three(space), three(places)), space.len()))
}

impl Operator for GridSample {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        sizes(inputs)?;
        let (x, grid) = (inputs.required(0)?, inputs.required(1)?);
        let shape = [&x.shape[..2], &grid.shape[1..grid.shape.len() - 1]].concat();
        Ok(vec![TensorType::new(x.dtype, shape)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let Ok(((batch, _, _, places), rank)) = sizes(inputs) else {
            return Work::default();
        };
        let taps = self.mode.taps().pow(rank as u32) as u64;
        let places = places
            .iter()
            .fold(batch as u64, |all, &size| all.saturating_mul(size as u64));
        let elements = outputs[0].elements() as u64;
        Work {
            arithmetic: elements
                .saturating_mul(taps * 220 + 300)
                .saturating_add(places.saturating_mul(rank as u64 * 1_000)),
            bytes: streamed(inputs, outputs).saturating_mul(2),
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let (sizes, rank) = sizes(inputs)?;
        Ok(on_floats(
            &Sampler {
                sample: *self,
                sizes,
                rank,
            },
            inputs,
            outputs,
        ))
    }
}

#[derive(Clone)]
struct Sampler {
    sample: GridSample,
    sizes: Sizes,
    rank: usize,
}

/// The taps of a place along one axis: elements of the input (none: a zero) with their weights.
type Taps<T> = ([Option<usize>; 4], [T; 4]);

/// A whole number as a float; indices are below 2^31.
fn whole<T: Float>(number: i64) -> T {
    T::from_f64(number as f64)
}

fn integer<T: Float>(x: T) -> i64 {
    x.to_f64() as i64
}

impl GridSample {
    /// The least and greatest coordinate that belong to the image.
    fn borders<T: Float>(self, size: usize) -> [T; 2] {
        let last = T::from_count(size - 1);
        if self.align_corners {
            [T::ZERO, last]
        } else {
            [-T::HALF, last + T::HALF]
        }
    }

    /// Mirrored at the borders until it lies between them.
    fn reflected<T: Float>(x: T, [low, high]: [T; 2]) -> T {
        let range = high - low;
        if range == T::ZERO {
            return low;
        }
        let fold = |beyond: T, near: T, far: T, inwards: T| {
            let times = (beyond / range).floor();
            let rest = beyond - times * range;
            let even = (times * T::HALF).floor() * (T::ONE + T::ONE) == times;
            if even {
                near + inwards * rest
            } else {
                far - inwards * rest
            }
        };
        if x < low {
            fold(low - x, low, high, T::ONE)
        } else if x > high {
            fold(x - high, high, low, -T::ONE)
        } else {
            x
        }
    }

    /// The element at an index that may lie outside.
    fn element<T: Float>(self, index: i64, size: usize, borders: [T; 2]) -> Option<usize> {
        let last = size as i64 - 1;
        let held = match self.padding {
            Padding::Zeros if (0..=last).contains(&index) => index,
            Padding::Zeros => return None,
            Padding::Border => index.clamp(0, last),
            Padding::Reflection => integer(Self::reflected(whole::<T>(index), borders)).clamp(0, last),
        };
        Some(held as usize)
    }

    /// The taps of a coordinate in \[−1, 1\] along an axis.
    fn taps<T: Float>(self, coordinate: T, size: usize) -> Taps<T> {
        let borders = self.borders::<T>(size);
        let (one, two) = (T::ONE, T::ONE + T::ONE);
        let length = T::from_count(size);
        let x = if self.align_corners {
            (coordinate + one) / two * (length - one)
        } else {
            ((coordinate + one) * length - one) / two
        };
        let most = whole::<T>(1 << 30);
        let x = if x.is_nan() {
            borders[0]
        } else {
            x.maximum(-most).minimum(most)
        };
        let x = if self.mode == Mode::Nearest {
            x.round_even()
        } else {
            x
        };
        let outside = x < borders[0] || x > borders[1];
        let x = match self.padding {
            Padding::Border if outside => x.maximum(T::ZERO).minimum(length - one),
            Padding::Reflection if outside => Self::reflected(x, borders),
            _ => x,
        };
        let element = |index: i64| self.element(index, size, borders);
        let below = x.floor();
        let (first, w) = (integer(below), x - below);
        let zero = T::ZERO;
        match self.mode {
            Mode::Nearest => ([element(integer(x)), None, None, None], [one, zero, zero, zero]),
            Mode::Linear => (
                [element(first), element(first + 1), None, None],
                [one - w, w, zero, zero],
            ),
            Mode::Cubic => {
                let a = T::from_f64(-0.75);
                let number = |value: f64| T::from_f64(value);
                let near = |d: T| ((a + two) * d - (a + number(3.0))) * d * d + one;
                let far = |d: T| ((a * d - number(5.0) * a) * d + number(8.0) * a) * d - number(4.0) * a;
                let elements = [first - 1, first, first + 1, first + 2].map(element);
                (elements, [far(w + one), near(w), near(one - w), far(two - w)])
            }
        }
    }
}

impl FloatOperation for Sampler {
    fn build<T: Compute>(&self, _known: &Known<'_>) -> Box<dyn FloatKernel<T>> {
        Box::new(self.clone())
    }
}

impl<T: Compute> FloatKernel<T> for Sampler {
    fn scratch(&self) -> usize {
        0
    }

    fn reads(&self, _path: Path, _input: usize) -> bool {
        true
    }

    fn run(&self, _path: Path, inputs: &[Option<&[T]>], outputs: &mut [&mut [T]], _scratch: &mut [T]) {
        let (x, grid, out) = (required(inputs, 0), required(inputs, 1), &mut *outputs[0]);
        let (batch, channels, from, to) = self.sizes;
        let (plane, places) = (from.iter().product::<usize>(), to.iter().product::<usize>());
        let count = self.sample.mode.taps();
        let single = ([Some(0), None, None, None], [T::ONE, T::ZERO, T::ZERO, T::ZERO]);
        for number in 0..batch * places {
            let (image, place) = (number / places, number % places);
            let mut taps: [Taps<T>; 3] = [single; 3];
            // the grid names the last axis first
            for axis in 0..self.rank {
                let coordinate = grid[number * self.rank + axis];
                taps[2 - axis] = self.sample.taps(coordinate, from[2 - axis]);
            }
            let counts: [usize; 3] =
                std::array::from_fn(|axis| if axis + self.rank >= 3 { count } else { 1 });
            for channel in 0..channels {
                let plane = &x[(image * channels + channel) * plane..][..plane];
                let read = |d: Option<usize>, h: Option<usize>, w: Option<usize>| match (d, h, w) {
                    (Some(d), Some(h), Some(w)) => plane[(d * from[1] + h) * from[2] + w],
                    _ => T::ZERO,
                };
                let [(d, d_weights), (h, h_weights), (w, w_weights)] = &taps;
                let value = if self.sample.mode == Mode::Nearest {
                    read(d[0], h[0], w[0])
                } else {
                    let along_width =
                        |d, h| (0..counts[2]).fold(T::ZERO, |sum, i| w_weights[i].fma(read(d, h, w[i]), sum));
                    let along_height = |d| {
                        (0..counts[1]).fold(T::ZERO, |sum, i| h_weights[i].fma(along_width(d, h[i]), sum))
                    };
                    (0..counts[0]).fold(T::ZERO, |sum, i| d_weights[i].fma(along_height(d[i]), sum))
                };
                out[(image * channels + channel) * places + place] = value.canonical();
            }
        }
    }
}

/// `AffineGrid`
pub(super) const AFFINE_GRID: Definition = Definition {
    name: "AffineGrid",
    since: &[20],
    inputs: 2..=2,
    outputs: 1..=1,
    parse: |node| {
        Ok(Box::new(AffineGrid {
            align_corners: node.attributes.flag("align_corners", false)?,
        }))
    },
};

#[derive(Debug, Clone, Copy)]
struct AffineGrid {
    align_corners: bool,
}

impl AffineGrid {
    fn space(inputs: &Inputs<'_>) -> Result<Vec<usize>, OpError> {
        let theta = inputs.of_types(0, FLOATS)?;
        inputs.of_types(1, &[DType::I64])?;
        let size = shape_from_i64s(&inputs.known_i64s(1)?)?;
        let rank = size.len().saturating_sub(2);
        if !(2..=3).contains(&rank) || theta.shape != [size[0], rank, rank + 1] {
            return Err(OpError::Shape(format!(
                "maps of shape {:?} do not fit images of size {size:?}: [N, 2, 3] and [N, C, H, W], or [N, 3, 4] and [N, C, D, H, W]",
                theta.shape
            )));
        }
        Ok(size[2..].to_vec())
    }
}

impl Operator for AffineGrid {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let space = Self::space(inputs)?;
        let theta = inputs.required(0)?;
        let shape = [&theta.shape[..1], &space, &[space.len()]].concat();
        Ok(vec![TensorType::new(theta.dtype, shape)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let places =
            outputs[0].elements() as u64 / outputs[0].shape.last().map_or(1, |&rank| rank.max(1) as u64);
        Work {
            arithmetic: places.saturating_mul(1_500),
            bytes: streamed(inputs, outputs),
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let space = Self::space(inputs)?;
        Ok(on_floats(
            &Affine {
                align_corners: self.align_corners,
                space,
            },
            inputs,
            outputs,
        ))
    }
}

#[derive(Clone)]
struct Affine {
    align_corners: bool,
    space: Vec<usize>,
}

impl Affine {
    /// The coordinate of an element along an axis of `size`.
    fn coordinate<T: Float>(&self, index: usize, size: usize) -> T {
        let (count, two) = (T::from_count(size), T::ONE + T::ONE);
        let index = T::from_count(index);
        if !self.align_corners {
            let step = two / count;
            (step * T::HALF - T::ONE) + index * step
        } else if size == 1 {
            T::ZERO
        } else {
            index * (two / (count - T::ONE)) - T::ONE
        }
    }
}

impl FloatOperation for Affine {
    fn build<T: Compute>(&self, _known: &Known<'_>) -> Box<dyn FloatKernel<T>> {
        Box::new(self.clone())
    }
}

impl<T: Compute> FloatKernel<T> for Affine {
    fn scratch(&self) -> usize {
        0
    }

    fn reads(&self, _path: Path, input: usize) -> bool {
        // the size was read while planning
        input == 0
    }

    fn run(&self, _path: Path, inputs: &[Option<&[T]>], outputs: &mut [&mut [T]], _scratch: &mut [T]) {
        let (theta, out) = (required(inputs, 0), &mut *outputs[0]);
        let rank = self.space.len();
        let places: usize = self.space.iter().product();
        for (number, out) in out.chunks_exact_mut(rank).enumerate() {
            let (image, mut place) = (number / places, number % places);
            // x first: the last axis
            let mut at = [T::ONE; 4];
            for (x, &size) in at.iter_mut().zip(self.space.iter().rev()) {
                *x = self.coordinate(place % size, size);
                place /= size;
            }
            let rows = theta[image * rank * (rank + 1)..].chunks_exact(rank + 1);
            for (y, row) in out.iter_mut().zip(rows) {
                *y = row
                    .iter()
                    .zip(at)
                    .fold(T::ZERO, |sum, (&t, x)| t.fma(x, sum))
                    .canonical();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(mode: Mode, padding: Padding) -> GridSample {
        GridSample {
            mode,
            padding,
            align_corners: false,
        }
    }

    #[test]
    fn coordinates_outside_are_padded_by_rule() {
        let elements = |padding, x: f32| sample(Mode::Nearest, padding).taps(x, 4).0[0];
        for (x, zeros, border, reflection) in [
            (-1.5_f32, None, Some(0), Some(1)),
            (2.0, None, Some(3), Some(1)),
            (f32::INFINITY, None, Some(3), Some(0)),
            (0.25, Some(2), Some(2), Some(2)),
        ] {
            assert_eq!(elements(Padding::Zeros, x), zeros, "{x}");
            assert_eq!(elements(Padding::Border, x), border, "{x}");
            assert!(
                elements(Padding::Reflection, x) == reflection || !x.is_finite(),
                "{x}"
            );
            assert!(elements(Padding::Reflection, x).is_some(), "{x}");
        }
        assert_eq!(elements(Padding::Border, f32::NAN), Some(0));
    }

    #[test]
    fn weights_of_a_place_add_up() {
        let (_, linear) = sample(Mode::Linear, Padding::Zeros).taps(0.1_f64, 8);
        assert_eq!(linear.iter().sum::<f64>(), 1.0);
        let (elements, cubic) = sample(Mode::Cubic, Padding::Border).taps(-1.0_f64, 8);
        assert_eq!(elements, [Some(0), Some(0), Some(0), Some(1)]);
        assert!((cubic.iter().sum::<f64>() - 1.0).abs() < 1e-15);
    }
}
