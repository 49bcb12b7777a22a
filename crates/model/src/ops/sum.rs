//! Sum and Mean of any number of tensors, with NumPy's broadcasting (from version 8). ONNX versions 6, 8 and 13 of both.
//!
//! The inputs are added from the left; Mean then divides by their number. 16-bit floats compute in `f32` and round once, at
//! the end.

use super::{
    Definition, FLOATS, Inputs, Kernel, OpError, Operator, Path, TensorType, Work,
    elementwise::{Pair, Zip, broadcast_of, elementwise_work, zip_of},
    floats::{Compute, FloatKernel, FloatOperation, Known, on_floats, required},
};

/// `Sum`
pub(super) const SUM: Definition = Definition {
    name: "Sum",
    since: &[6, 8, 13],
    inputs: 1..=usize::MAX,
    outputs: 1..=1,
    parse: |node| {
        Ok(Box::new(Sum {
            mean: false,
            broadcasts: node.version >= 8,
        }))
    },
};

/// `Mean`
pub(super) const MEAN: Definition = Definition {
    name: "Mean",
    since: &[6, 8, 13],
    inputs: 1..=usize::MAX,
    outputs: 1..=1,
    parse: |node| {
        Ok(Box::new(Sum {
            mean: true,
            broadcasts: node.version >= 8,
        }))
    },
};

#[derive(Debug, Clone, Copy)]
struct Sum {
    mean: bool,
    broadcasts: bool,
}

fn shapes<'a>(inputs: &Inputs<'a>) -> Result<Vec<&'a [usize]>, OpError> {
    (0..inputs.len())
        .map(|index| Ok(inputs.required(index)?.shape))
        .collect()
}

impl Operator for Sum {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let dtype = inputs.of_types(0, FLOATS)?.dtype;
        for index in 1..inputs.len() {
            inputs.like(index, dtype)?;
        }
        let shapes = shapes(inputs)?;
        if !self.broadcasts && shapes.iter().any(|shape| *shape != shapes[0]) {
            return Err(OpError::Shape(format!(
                "shapes {shapes:?} differ, and before opset 8 nothing broadcasts"
            )));
        }
        Ok(vec![TensorType::new(dtype, broadcast_of(&shapes)?)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        elementwise_work(inputs, outputs, inputs.len() as u64 * 20)
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let (shapes, output) = (shapes(inputs)?, &outputs[0].shape[..]);
        let mut so_far = shapes[0];
        let mut pairs = Vec::new();
        for shape in &shapes[1..] {
            pairs.push(Pair::new(so_far, shape, output));
            so_far = output;
        }
        let operation = Concrete {
            pairs,
            mean: self.mean,
            elements: outputs[0].elements(),
        };
        Ok(on_floats(&operation, inputs, outputs))
    }
}

#[derive(Clone)]
struct Concrete {
    /// What was added so far, and the next input.
    pairs: Vec<Pair>,
    mean: bool,
    elements: usize,
}

impl FloatOperation for Concrete {
    fn build<T: Compute>(&self, _known: &Known<'_>) -> Box<dyn FloatKernel<T>> {
        Box::new(Typed {
            concrete: self.clone(),
            add: zip_of(|a: T, b: T| (a + b).canonical()),
        })
    }
}

struct Typed<T> {
    concrete: Concrete,
    add: Box<Zip<T, T, T>>,
}

impl<T: Compute> FloatKernel<T> for Typed<T> {
    fn scratch(&self) -> usize {
        if self.concrete.pairs.len() > 1 {
            self.concrete.elements
        } else {
            0
        }
    }

    fn reads(&self, _path: Path, _input: usize) -> bool {
        true
    }

    fn run(&self, path: Path, inputs: &[Option<&[T]>], outputs: &mut [&mut [T]], scratch: &mut [T]) {
        let out = &mut *outputs[0];
        match &self.concrete.pairs[..] {
            [] => out.copy_from_slice(required(inputs, 0)),
            [first, rest @ ..] => {
                first.run(path, required(inputs, 0), required(inputs, 1), out, &self.add);
                for (index, pair) in rest.iter().enumerate() {
                    let so_far = &mut scratch[..out.len()];
                    so_far.copy_from_slice(out);
                    pair.run(path, so_far, required(inputs, index + 2), out, &self.add);
                }
            }
        }
        if self.concrete.mean {
            let count = T::from_count(inputs.len());
            out.iter_mut().for_each(|y| *y = (*y / count).canonical());
        }
    }
}
