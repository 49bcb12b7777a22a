//! `synod model compare FILE --input … --with OUTPUTS.npz`
//!
//! How far another runtime's outputs are from the chain's, before anything is published.

use super::{
    engine::EngineArgs,
    run::{self, execute},
};
use crate::{
    model_file::ModelArgs,
    show::{Form, table, thousands},
    tensors::{self, InputArg, Role},
};
use clap::Args;
use eyre::{Result, bail, ensure};
use serde::Serialize;
use std::fmt;
use synod_model::{DType, Tensor};
use synod_numerics::half::{bf16_to_f32, f16_to_f32};

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    #[command(flatten)]
    model: ModelArgs,

    /// Input as .npy, .npz, .json, .csv or .pb; several times for several inputs
    #[arg(long = "input", short, value_name = "[NAME=]FILE")]
    inputs: Vec<InputArg>,

    /// The other runtime's outputs as .npz, .npy or .pb, by name or in order; several times for several files
    #[arg(long = "with", value_name = "[NAME=]FILE", required = true)]
    with: Vec<InputArg>,

    /// Fail unless |ours − theirs| ≤ N + N·|theirs| for every element; 0: unless every bit is the same
    #[arg(long, value_name = "N", value_parser = tolerance)]
    tolerance: Option<f64>,

    #[command(flatten)]
    engine: EngineArgs,
}

pub(super) fn tolerance(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value >= 0.0 && value.is_finite() => Ok(value),
        _ => Err("a number from 0 is needed".into()),
    }
}

#[derive(Serialize)]
struct Report {
    outputs: Vec<Difference>,
}

/// How far apart two tensors are.
#[derive(Debug, Serialize)]
pub(super) struct Difference {
    pub(super) name: String,
    pub(super) elements: usize,
    /// Elements of which a bit differs, NaNs being equal.
    pub(super) differing: usize,
    /// Elements of which one is NaN or infinite and the other is something else. They have no distance.
    incomparable: usize,
    max_absolute: f64,
    /// Of those that are not 0 in the other outputs.
    max_relative: f64,
    /// Numbers of the type between the two, plus one; of integers the difference.
    max_ulps: u64,
    /// Where the absolute difference is greatest, or where the first incomparable element is.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<At>,
}

/// An element of both.
#[derive(Debug, Serialize)]
struct At {
    index: Vec<usize>,
    ours: String,
    theirs: String,
}

impl Difference {
    /// The largest absolute and relative difference as text; none where an element has no distance.
    pub(super) fn shown(&self) -> [String; 2] {
        [self.max_absolute, self.max_relative].map(|value| {
            if self.incomparable > 0 {
                "none".to_owned()
            } else {
                format!("{value:.3e}")
            }
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<Vec<String>> = self
            .outputs
            .iter()
            .map(|output| {
                let [absolute, relative] = output.shown();
                vec![
                    output.name.clone(),
                    thousands(output.elements as u64),
                    thousands(output.differing as u64),
                    absolute,
                    relative,
                    thousands(output.max_ulps),
                    output.at.as_ref().map_or_else(String::new, |at| {
                        format!("{:?}: {} and {}", at.index, at.ours, at.theirs)
                    }),
                ]
            })
            .collect();
        f.write_str(&table(
            &[
                "output",
                "elements",
                "differ",
                "absolute",
                "relative",
                "ulps",
                "where: ours and theirs",
            ],
            &rows,
        ))
    }
}

pub(crate) fn run(args: &CompareArgs, form: Form) -> Result<()> {
    let theirs = tensors::read(&args.with)?;
    let candidates = tensors::read(&args.inputs)?;
    let (loaded, inputs) = run::load(&args.model, &candidates)?;
    let ours = execute(&loaded, &inputs, args.engine.start())?;
    let signature = loaded.model.signature();
    let names: Vec<&str> = signature
        .outputs
        .iter()
        .map(|output| output.name.as_str())
        .collect();
    let mut outputs = Vec::new();
    let mut beyond = None;
    let theirs = tensors::order(Role::Output, &names, &theirs)?;
    for ((name, ours), theirs) in names.iter().zip(&ours).zip(theirs) {
        let Some(theirs) = theirs else {
            bail!("output {name:?} is missing: add --with {name}=FILE");
        };
        let theirs = theirs.typed(ours.dtype())?;
        let difference = difference(name, ours, &theirs)?;
        if let Some(tolerance) = args.tolerance
            && beyond.is_none()
            && let Some(index) = first_beyond(ours, &theirs, tolerance)
        {
            beyond = Some(format!(
                "output {name:?}, element {:?}",
                place(index, ours.shape())
            ));
        }
        outputs.push(difference);
    }
    form.print(&Report { outputs })?;
    match (args.tolerance, beyond) {
        (Some(tolerance), Some(place)) => bail!("{place} is beyond the tolerance of {tolerance}"),
        _ => Ok(()),
    }
}

/// An element, as far as distances go.
#[derive(Clone, Copy)]
enum Number {
    Float(f64, i128),
    Integer(i128),
}

impl Number {
    fn value(self) -> f64 {
        match self {
            Self::Float(value, _) => value,
            Self::Integer(value) => value as f64,
        }
    }

    /// A float's place among all of its type, ±0 being one; an integer.
    fn place(self) -> i128 {
        match self {
            Self::Float(_, place) | Self::Integer(place) => place,
        }
    }
}

fn numbers(tensor: &Tensor) -> Vec<Number> {
    fn place(bits: u64, width: u32) -> i128 {
        let sign = bits >> (width - 1) & 1;
        let magnitude = i128::from(bits & !(1 << (width - 1)));
        if sign == 1 { -magnitude } else { magnitude }
    }
    let floats = |value: fn(u16) -> f32| {
        move |bits: &u16| Number::Float(value(*bits).into(), place((*bits).into(), 16))
    };
    match tensor.dtype() {
        DType::F32 => tensor
            .as_slice::<f32>()
            .iter()
            .map(|x| Number::Float((*x).into(), place(x.to_bits().into(), 32)))
            .collect(),
        DType::F64 => tensor
            .as_slice::<f64>()
            .iter()
            .map(|x| Number::Float(*x, place(x.to_bits(), 64)))
            .collect(),
        DType::F16 => tensor.as_slice::<u16>().iter().map(floats(f16_to_f32)).collect(),
        DType::BF16 => tensor.as_slice::<u16>().iter().map(floats(bf16_to_f32)).collect(),
        DType::U64 => tensor
            .as_slice::<u64>()
            .iter()
            .map(|&x| Number::Integer(x.into()))
            .collect(),
        _ => tensor
            .to_i64s()
            .unwrap_or_default()
            .into_iter()
            .map(|x| Number::Integer(x.into()))
            .collect(),
    }
}

pub(super) fn difference(name: &str, ours: &Tensor, theirs: &Tensor) -> Result<Difference> {
    ensure!(
        ours.shape() == theirs.shape(),
        "output {name:?} has the shape {:?} here, {:?} there",
        ours.shape(),
        theirs.shape()
    );
    let mut found = Difference {
        name: name.to_owned(),
        elements: ours.elements(),
        differing: 0,
        incomparable: 0,
        max_absolute: 0.0,
        max_relative: 0.0,
        max_ulps: 0,
        at: None,
    };
    let size = ours.dtype().size();
    let bits = ours.bytes().chunks(size).zip(theirs.bytes().chunks(size));
    let mut worst = None;
    for (index, ((a, b), bits)) in numbers(ours)
        .into_iter()
        .zip(numbers(theirs))
        .zip(bits)
        .enumerate()
    {
        if bits.0 == bits.1 {
            continue;
        }
        found.differing += 1;
        let (x, y) = (a.value(), b.value());
        if !x.is_finite() || !y.is_finite() {
            if found.incomparable == 0 {
                worst = Some(index);
            }
            found.incomparable += 1;
            continue;
        }
        let absolute = (x - y).abs();
        if found.incomparable == 0 && (worst.is_none() || absolute > found.max_absolute) {
            worst = Some(index);
        }
        if absolute > found.max_absolute {
            found.max_absolute = absolute;
        }
        if y != 0.0 && absolute / y.abs() > found.max_relative {
            found.max_relative = absolute / y.abs();
        }
        let ulps = (a.place() - b.place()).unsigned_abs();
        found.max_ulps = found.max_ulps.max(u64::try_from(ulps).unwrap_or(u64::MAX));
    }
    found.at = worst.map(|index| At {
        index: place(index, ours.shape()),
        ours: crate::outputs::word(ours, index),
        theirs: crate::outputs::word(theirs, index),
    });
    Ok(found)
}

/// The first element that is not within the tolerance.
pub(super) fn first_beyond(ours: &Tensor, theirs: &Tensor, tolerance: f64) -> Option<usize> {
    let size = ours.dtype().size();
    let bits = ours.bytes().chunks(size).zip(theirs.bytes().chunks(size));
    let mut pairs = numbers(ours).into_iter().zip(numbers(theirs)).zip(bits);
    pairs.position(|((a, b), bits)| {
        let (x, y) = (a.value(), b.value());
        let within = tolerance > 0.0 && (x - y).abs() <= tolerance + tolerance * y.abs() && y.is_finite();
        bits.0 != bits.1 && !within
    })
}

/// The indices of an element.
pub(super) fn place(mut index: usize, shape: &[usize]) -> Vec<usize> {
    let mut place = vec![0; shape.len()];
    for (at, &size) in place.iter_mut().zip(shape).rev() {
        *at = index % size.max(1);
        index /= size.max(1);
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(values: &[f32]) -> Tensor {
        Tensor::from_slice(DType::F32, &[values.len()], values).unwrap()
    }

    #[test]
    fn distances_are_counted() {
        let next = f32::from_bits(1.0_f32.to_bits() + 3);
        let found = difference("y", &floats(&[1.0, 2.0, -0.0]), &floats(&[next, 2.0, 0.0])).unwrap();
        assert_eq!((found.differing, found.incomparable, found.max_ulps), (2, 0, 3));
        assert_eq!(found.at.unwrap().index, [0]);
        assert_eq!(found.max_absolute, f64::from(next) - 1.0);
        // across zero: the subnormals on both sides
        let (a, b) = (floats(&[f32::from_bits(2)]), floats(&[-f32::from_bits(1)]));
        assert_eq!(difference("y", &a, &b).unwrap().max_ulps, 3);
        let found = difference("y", &floats(&[5.0, f32::NAN]), &floats(&[0.0, f32::INFINITY])).unwrap();
        assert_eq!(found.incomparable, 1);
        assert_eq!(found.at.unwrap().ours, "NaN");
        let nan = difference("y", &floats(&[f32::NAN]), &floats(&[f32::NAN])).unwrap();
        assert_eq!((nan.differing, nan.at.is_none()), (0, true));
    }

    #[test]
    fn a_tolerance_is_absolute_and_relative_and_zero_means_bits() {
        let (a, b) = (floats(&[1000.0, 0.0]), floats(&[1000.1, -0.0]));
        assert_eq!(first_beyond(&a, &b, 1e-3), None);
        assert_eq!(first_beyond(&a, &b, 1e-5), Some(0));
        assert_eq!(first_beyond(&floats(&[0.0]), &floats(&[-0.0]), 0.0), Some(0));
        assert_eq!(
            first_beyond(&floats(&[f32::NAN]), &floats(&[f32::NAN]), 0.0),
            None
        );
        assert_eq!(
            first_beyond(&floats(&[f32::INFINITY]), &floats(&[f32::MAX]), 1.0),
            Some(0)
        );
        assert_eq!(
            first_beyond(&floats(&[1.0]), &floats(&[f32::INFINITY]), 1.0),
            Some(0)
        );
        assert_eq!(place(7, &[2, 3, 2]), [1, 0, 1]);
    }
}
