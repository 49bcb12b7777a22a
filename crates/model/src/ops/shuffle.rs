//! Elements moved by rule: DepthToSpace (versions 1, 11, 13, 28), SpaceToDepth (1, 13, 28), ReverseSequence (10, 28),
//! TensorScatter (24).
//!
//! - `DepthToSpace`, `SpaceToDepth`: blocks of channels become blocks of places, and back.
//! - `ReverseSequence`: the beginning of each sequence of a batch backwards; a length outside the axis stops the run.
//! - `TensorScatter`: a cache with an update written into it from an index on, for each element of the batch.

use super::{
    AttributeError, DType, Definition, INDICES, Inputs, Kernel, NodeSpec, OpError, Operator, TensorType,
    Work,
    data::{Strided, signed_strides},
    indices::number,
    kernel, normalize_axis, streamed,
};
use crate::{shape::element_count, tensor::TensorViewMut};

/// `DepthToSpace`
pub(super) const DEPTH_TO_SPACE: Definition = Definition {
    name: "DepthToSpace",
    since: &[1, 11, 13, 28],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| {
        let block = block_size(node)?;
        let columns_first = if node.version >= 11 {
            match node.attributes.string("mode")?.as_deref() {
                None | Some("DCR") => false,
                Some("CRD") => true,
                Some(other) => {
                    return Err(AttributeError::Value {
                        name: "mode",
                        value: other.to_owned(),
                        expected: "DCR, CRD",
                    }
                    .into());
                }
            }
        } else {
            false
        };
        Ok(Box::new(Blocks {
            block,
            to_space: true,
            columns_first,
        }))
    },
};

/// `SpaceToDepth`
pub(super) const SPACE_TO_DEPTH: Definition = Definition {
    name: "SpaceToDepth",
    since: &[1, 13, 28],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| {
        let block = block_size(node)?;
        // version 28 can order channels as DepthToSpace's CRD does
        let columns_first = match if node.version >= 28 {
            node.attributes.string("mode")?
        } else {
            None
        }
        .as_deref()
        {
            None | Some("DCR") => false,
            Some("CRD") => true,
            Some(other) => {
                return Err(AttributeError::Value {
                    name: "mode",
                    value: other.to_owned(),
                    expected: "DCR, CRD",
                }
                .into());
            }
        };
        Ok(Box::new(Blocks {
            block,
            to_space: false,
            columns_first,
        }))
    },
};

fn block_size(node: &mut NodeSpec<'_>) -> Result<usize, OpError> {
    let block = node
        .attributes
        .int("blocksize")?
        .ok_or(AttributeError::Missing { name: "blocksize" })?;
    usize::try_from(block)
        .ok()
        .filter(|block| (1..=1 << 20).contains(block))
        .ok_or_else(|| {
            AttributeError::Value {
                name: "blocksize",
                value: block.to_string(),
                expected: "1 to 1048576",
            }
            .into()
        })
}

#[derive(Debug)]
struct Blocks {
    block: usize,
    to_space: bool,
    /// Channels are counted block by block instead of place by place in a block.
    columns_first: bool,
}

impl Blocks {
    /// Images, channels, height, width of the side with more channels, its channels divided by the block's places.
    fn dims(&self, shape: &[usize]) -> Result<[usize; 4], OpError> {
        let block = self.block;
        match *shape {
            [n, c, h, w] if self.to_space && c % (block * block) == 0 => Ok([n, c / (block * block), h, w]),
            [n, c, h, w] if !self.to_space && h % block == 0 && w % block == 0 => {
                Ok([n, c, h / block, w / block])
            }
            _ => Err(OpError::Shape(format!(
                "{shape:?} does not divide into blocks of {block} by {block}"
            ))),
        }
    }
}

impl Operator for Blocks {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.required(0)?;
        let ([n, c, h, w], block) = (self.dims(x.shape)?, self.block);
        let shape = if self.to_space {
            vec![n, c, h.saturating_mul(block), w.saturating_mul(block)]
        } else {
            vec![n, c.saturating_mul(block * block), h, w]
        };
        Ok(vec![TensorType::new(x.dtype, shape)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        // blocks of one element are copied as they lie
        Work::elementwise(inputs, outputs, if self.block == 1 { 2 } else { 32 })
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let x = inputs.required(0)?;
        let ([n, c, h, w], block) = (self.dims(x.shape)?, self.block);
        // the deep side as [n, block, block, c, h, w] or [n, c, block, block, h, w]
        let deep = if self.columns_first {
            [n, c, block, block, h, w]
        } else {
            [n, block, block, c, h, w]
        };
        let (row, column, channel) = if self.columns_first { (2, 3, 1) } else { (1, 2, 3) };
        Ok(if self.to_space {
            // read as [n, c, h, block, w, block]
            let own = signed_strides(&deep);
            let order = [0, channel, 4, row, 5, column];
            Strided::new(
                &order.map(|axis| deep[axis]),
                order.map(|axis| own[axis]).to_vec(),
                0,
            )
        } else {
            let own = signed_strides(&[n, c, h, block, w, block]);
            let mut steps = vec![0; 6];
            steps[0] = own[0];
            steps[channel] = own[1];
            steps[row] = own[3];
            steps[column] = own[5];
            steps[4] = own[2];
            steps[5] = own[4];
            Strided::new(&deep, steps, 0)
        }
        .into_kernel(outputs[0].dtype.size()))
    }
}

/// `ReverseSequence`
pub(super) const REVERSE_SEQUENCE: Definition = Definition {
    name: "ReverseSequence",
    since: &[10, 28],
    inputs: 2..=2,
    outputs: 1..=1,
    parse: |node| {
        let batch_axis = node.attributes.int("batch_axis")?.unwrap_or(1);
        let time_axis = node.attributes.int("time_axis")?.unwrap_or(0);
        match (batch_axis, time_axis) {
            (1, 0) => Ok(Box::new(ReverseSequence { time_first: true })),
            (0, 1) => Ok(Box::new(ReverseSequence { time_first: false })),
            _ => Err(AttributeError::Value {
                name: "batch_axis",
                value: format!("{batch_axis} beside time_axis {time_axis}"),
                expected: "one 0 and the other 1",
            }
            .into()),
        }
    },
};

#[derive(Debug)]
struct ReverseSequence {
    time_first: bool,
}

impl Operator for ReverseSequence {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let (x, lengths) = (inputs.required(0)?, inputs.of_types(1, &[DType::I64])?);
        let batch = x.shape.get(usize::from(self.time_first));
        if x.shape.len() < 2 || lengths.shape.len() != 1 || batch != lengths.shape.first() {
            return Err(OpError::Shape(format!(
                "lengths of shape {:?} do not fit sequences of shape {:?}",
                lengths.shape, x.shape
            )));
        }
        Ok(vec![x.tensor_type()])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let steps: usize = outputs[0].shape.iter().take(2).product();
        Work {
            arithmetic: (steps as u64).saturating_mul(256),
            bytes: streamed(inputs, outputs),
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, _: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let x = inputs.required(0)?;
        let time_first = self.time_first;
        let [steps, batch] = if time_first {
            [x.shape[0], x.shape[1]]
        } else {
            [x.shape[1], x.shape[0]]
        };
        let row = element_count(&x.shape[2..]) * x.dtype.size();
        Ok(kernel(move |io| {
            let (x, lengths) = (io.input(0).bytes(), io.input(1));
            let Some(out) = io.output(0).map(TensorViewMut::bytes_mut) else {
                return Ok(());
            };
            for sequence in 0..batch {
                let length = number(&lengths, sequence);
                let Some(length) = usize::try_from(length).ok().filter(|&length| length <= steps) else {
                    return Err(OpError::Value(format!("a sequence of {length} in {steps} steps")));
                };
                for step in 0..steps {
                    let from = if step < length { length - 1 - step } else { step };
                    let at = |step: usize| {
                        (if time_first {
                            step * batch + sequence
                        } else {
                            sequence * steps + step
                        }) * row
                    };
                    out[at(step)..][..row].copy_from_slice(&x[at(from)..][..row]);
                }
            }
            Ok(())
        }))
    }
}

/// `TensorScatter`
pub(super) const TENSOR_SCATTER: Definition = Definition {
    name: "TensorScatter",
    since: &[24],
    inputs: 2..=3,
    outputs: 1..=1,
    parse: |node| {
        let axis = node.attributes.int("axis")?.unwrap_or(-2);
        let circular = match node.attributes.string("mode")?.as_deref() {
            None | Some("linear") => false,
            Some("circular") => true,
            Some(other) => {
                return Err(AttributeError::Value {
                    name: "mode",
                    value: other.to_owned(),
                    expected: "linear, circular",
                }
                .into());
            }
        };
        Ok(Box::new(TensorScatter { axis, circular }))
    },
};

#[derive(Debug)]
struct TensorScatter {
    axis: i64,
    circular: bool,
}

impl TensorScatter {
    fn axis(&self, inputs: &Inputs<'_>) -> Result<usize, OpError> {
        let (cache, update) = (inputs.required(0)?, inputs.required(1)?);
        let axis = normalize_axis(self.axis, cache.shape.len())?;
        let fits = axis > 0
            && update.shape.len() == cache.shape.len()
            && (0..cache.shape.len()).all(|other| {
                if other == axis {
                    update.shape[other] <= cache.shape[other]
                } else {
                    update.shape[other] == cache.shape[other]
                }
            });
        if fits {
            Ok(axis)
        } else {
            Err(OpError::Shape(format!(
                "an update of shape {:?} does not fit a cache of shape {:?} along axis {axis}, which is not 0",
                update.shape, cache.shape
            )))
        }
    }
}

impl Operator for TensorScatter {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let cache = inputs.required(0)?;
        inputs.like(1, cache.dtype)?;
        self.axis(inputs)?;
        if inputs.optional(2).is_some() && inputs.of_types(2, INDICES)?.shape != &cache.shape[..1] {
            return Err(OpError::Shape(format!(
                "there is not one index for each of a batch of {}",
                cache.shape[0]
            )));
        }
        Ok(vec![cache.tensor_type()])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let rows = match (self.axis(inputs), inputs.optional(1)) {
            (Ok(axis), Some(update)) => element_count(&update.shape[..=axis]) as u64,
            _ => 0,
        };
        Work {
            arithmetic: rows.saturating_mul(512),
            bytes: streamed(inputs, outputs),
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, _: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let (axis, circular) = (self.axis(inputs)?, self.circular);
        let (cache, update) = (inputs.required(0)?, inputs.required(1)?);
        let (capacity, length) = (cache.shape[axis], update.shape[axis]);
        let (batch, outer) = (cache.shape[0], element_count(&cache.shape[..axis]));
        let row = element_count(&cache.shape[axis + 1..]) * cache.dtype.size();
        Ok(kernel(move |io| {
            let (cache, update, starts) = (io.input(0).bytes(), io.input(1).bytes(), io.optional_input(2));
            let Some(out) = io.output(0).map(TensorViewMut::bytes_mut) else {
                return Ok(());
            };
            out.copy_from_slice(cache);
            for block in 0..outer {
                let start = starts.map_or(0, |starts| number(&starts, block / (outer / batch)));
                for step in 0..length {
                    let place = start.saturating_add(step as i64);
                    let place = if circular {
                        place.rem_euclid(capacity as i64)
                    } else {
                        place
                    };
                    let Some(place) = usize::try_from(place).ok().filter(|&place| place < capacity) else {
                        return Err(OpError::Value(format!(
                            "place {place} is outside a cache of {capacity}"
                        )));
                    };
                    out[(block * capacity + place) * row..][..row]
                        .copy_from_slice(&update[(block * length + step) * row..][..row]);
                }
            }
            Ok(())
        }))
    }
}
