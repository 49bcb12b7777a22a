//! RoiAlign: the average (or maximum) of samples in the cells of regions of images. ONNX versions 10, 16 and 22.
//!
//! Coordinates, weights and sums are in the computing type. With `sampling_ratio` = 0 the samples of a cell along an axis are as
//! many as the cell is long, but at most as many as a cell of a region as long as the image would have, so that the work is bounded.
//! An image that does not exist stops the run.

use super::{
    AttributeError, DType, Definition, FLOATS, Inputs, Io, Kernel, NodeSpec, OpError, Operator, TensorType,
    Work,
    elementwise::{FloatFormat, with_float_format},
    indices::from_front,
    kernel, streamed,
};
use crate::tensor::TensorViewMut;
use synod_numerics::float::Float;

/// `RoiAlign`
pub(super) const ROI_ALIGN: Definition = Definition {
    name: "RoiAlign",
    since: &[10, 16, 22],
    inputs: 3..=3,
    outputs: 1..=1,
    parse: |node| {
        let half_pixel = node.version >= 16
            && match node
                .attributes
                .string("coordinate_transformation_mode")?
                .as_deref()
            {
                None | Some("half_pixel") => true,
                Some("output_half_pixel") => false,
                Some(other) => {
                    return Err(AttributeError::Value {
                        name: "coordinate_transformation_mode",
                        value: other.to_owned(),
                        expected: "half_pixel, output_half_pixel",
                    }
                    .into());
                }
            };
        let maximum = match node.attributes.string("mode")?.as_deref() {
            None | Some("avg") => false,
            Some("max") => true,
            Some(other) => {
                return Err(AttributeError::Value {
                    name: "mode",
                    value: other.to_owned(),
                    expected: "avg, max",
                }
                .into());
            }
        };
        Ok(Box::new(RoiAlign {
            half_pixel,
            maximum,
            height: count(node, "output_height", 1, 1)?,
            width: count(node, "output_width", 1, 1)?,
            samples: count(node, "sampling_ratio", 0, 0)?,
            scale: node.attributes.float("spatial_scale")?.unwrap_or(1.0),
        }))
    },
};

fn count(node: &mut NodeSpec<'_>, name: &'static str, default: i64, least: i64) -> Result<usize, OpError> {
    let value = node.attributes.int(name)?.unwrap_or(default);
    if (least..=1 << 20).contains(&value) {
        Ok(value as usize)
    } else {
        let expected = "at most 1048576, and at least 1 (sampling_ratio: 0)";
        Err(AttributeError::Value {
            name,
            value: value.to_string(),
            expected,
        }
        .into())
    }
}

#[derive(Debug, Clone, Copy)]
struct RoiAlign {
    half_pixel: bool,
    maximum: bool,
    height: usize,
    width: usize,
    /// Samples of a cell along each axis; 0: by its size.
    samples: usize,
    scale: f32,
}

/// Images, channels, height, width.
type Dims = [usize; 4];

impl RoiAlign {
    fn dims(inputs: &Inputs<'_>) -> Result<(Dims, usize), OpError> {
        let x = inputs.of_types(0, FLOATS)?;
        let (rois, images) = (inputs.like(1, x.dtype)?, inputs.of_types(2, &[DType::I64])?);
        match (x.shape, rois.shape, images.shape) {
            (&[n, c, h, w], &[regions, 4], &[of_images]) if regions == of_images && h > 0 && w > 0 => {
                Ok(([n, c, h, w], regions))
            }
            _ => Err(OpError::Shape(format!(
                "regions {:?} and their images {:?} do not fit images of shape {:?}",
                rois.shape, images.shape, x.shape
            ))),
        }
    }

    /// The most samples of a cell along an axis of `size` with `cells` cells.
    fn most(&self, size: usize, cells: usize) -> usize {
        if self.samples > 0 {
            self.samples
        } else {
            size.div_ceil(cells)
        }
    }

    fn run<F: FloatFormat>(
        &self,
        [images, channels, height, width]: Dims,
        io: &mut Io<'_, '_>,
    ) -> Result<(), OpError> {
        let (x, rois) = (
            io.input(0).as_slice::<F::Stored>(),
            io.input(1).as_slice::<F::Stored>(),
        );
        let of_images = io.input(2).as_slice::<i64>();
        let Some(out) = io.output(0).map(TensorViewMut::as_mut_slice::<F::Stored>) else {
            return Ok(());
        };
        let cells = self.height * self.width;
        for (region, &image) in of_images.iter().enumerate() {
            let image = if image < 0 {
                Err(OpError::Value(format!("image {image} does not exist")))
            } else {
                from_front(image, images)
            }?;
            let corner = |at: usize| {
                let offset = if self.half_pixel {
                    F::Value::HALF
                } else {
                    F::Value::ZERO
                };
                F::load(rois[region * 4 + at]) * F::Value::from_f32(self.scale) - offset
            };
            let columns = self.cell::<F::Value>(corner(0), corner(2), self.width, width);
            let rows = self.cell::<F::Value>(corner(1), corner(3), self.height, height);
            for channel in 0..channels {
                let plane = &x[(image * channels + channel) * height * width..][..height * width];
                for cell in 0..cells {
                    let (row, column) = (cell / self.width, cell % self.width);
                    let value = self.pooled::<F>(plane, (&rows, row, height), (&columns, column, width));
                    out[(region * channels + channel) * cells + cell] = F::store(value.canonical());
                }
            }
        }
        Ok(())
    }

    /// How the cells of a region lie along an axis.
    fn cell<T: Float>(&self, start: T, end: T, cells: usize, size: usize) -> Cells<T> {
        let extent = end - start;
        // a malformed region has a size of 1
        let extent = if self.half_pixel || extent > T::ONE {
            extent
        } else {
            T::ONE
        };
        let length = extent / T::from_count(cells);
        let most = self.most(size, cells);
        let samples = if self.samples > 0 {
            self.samples
        } else {
            // a float below 0 and NaN become 0
            (length.ceil().to_f64() as usize).min(most)
        };
        Cells {
            start,
            length,
            samples,
        }
    }

    fn pooled<F: FloatFormat>(
        &self,
        plane: &[F::Stored],
        (rows, row, height): (&Cells<F::Value>, usize, usize),
        (columns, column, width): (&Cells<F::Value>, usize, usize),
    ) -> F::Value {
        let (zero, mut total, mut first) = (F::Value::ZERO, F::Value::ZERO, true);
        for sample_row in 0..rows.samples {
            let vertical = rows.sample(row, sample_row, height);
            for sample_column in 0..columns.samples {
                let horizontal = columns.sample(column, sample_column, width);
                let products = match (vertical, horizontal) {
                    (Some((top, bottom, v)), Some((left, right, h))) => {
                        let one = F::Value::ONE;
                        let read = |y: usize, x: usize| F::load(plane[y * width + x]);
                        [
                            (one - v) * (one - h) * read(top, left),
                            (one - v) * h * read(top, right),
                            v * (one - h) * read(bottom, left),
                            v * h * read(bottom, right),
                        ]
                    }
                    _ => [zero; 4],
                };
                let [a, b, c, d] = products;
                if self.maximum {
                    let value = a.maximum(b).maximum(c).maximum(d);
                    total = if first { value } else { total.maximum(value) };
                    first = false;
                } else {
                    total = total + (a + b + c + d);
                }
            }
        }
        let count = (rows.samples * columns.samples).max(1);
        if self.maximum {
            total
        } else {
            total / F::Value::from_count(count)
        }
    }
}

struct Cells<T> {
    start: T,
    length: T,
    samples: usize,
}

impl<T: Float> Cells<T> {
    /// The two elements beside a sample, and how far it lies from the first; `None` outside of the image.
    fn sample(&self, cell: usize, sample: usize, size: usize) -> Option<(usize, usize, T)> {
        let number = T::from_count;
        let place = self.start
            + number(cell) * self.length
            + (number(sample) + T::HALF) * self.length / number(self.samples);
        if !(place >= -T::ONE && place <= number(size)) {
            return None;
        }
        let place = place.maximum(T::ZERO);
        let below = place.floor().to_f64() as usize;
        if below >= size - 1 {
            Some((size - 1, size - 1, T::ZERO))
        } else {
            Some((below, below + 1, place - number(below)))
        }
    }
}

impl Operator for RoiAlign {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let ([_, channels, _, _], regions) = Self::dims(inputs)?;
        let shape = vec![regions, channels, self.height, self.width];
        Ok(vec![TensorType::new(inputs.required(0)?.dtype, shape)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let samples = Self::dims(inputs).map_or(0, |([_, _, height, width], _)| {
            (self.most(height, self.height) as u64).saturating_mul(self.most(width, self.width) as u64)
        });
        Work {
            arithmetic: (outputs[0].elements() as u64)
                .saturating_mul(samples.saturating_mul(1_200).saturating_add(500)),
            bytes: streamed(inputs, outputs),
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        fn build<F: FloatFormat, S>(align: RoiAlign, dims: Dims, _: S) -> Box<dyn Kernel> {
            kernel(move |io| align.run::<F>(dims, io))
        }
        let (dims, _) = Self::dims(inputs)?;
        Ok(with_float_format!(outputs[0].dtype, build(*self, dims, ())))
    }
}
