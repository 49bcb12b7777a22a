//! The two example networks and one held-out sample of each.

use alloy_primitives::{Bytes, I256};
use eyre::{Result, WrapErr, eyre};
use std::path::Path;
use synod_model::{DType, Tensor};

/// One example.
pub(crate) struct Example {
    pub(crate) name: &'static str,
    pub(crate) published: &'static str,
    pub(crate) file: Vec<u8>,
    /// The first held-out sample, row by row.
    pub(crate) sample: Vec<f32>,
    /// The shape of a batch of one.
    pub(crate) shape: Vec<usize>,
    /// The contract in plain Solidity that computes the same class.
    pub(crate) baseline: &'static str,
    /// The type of its argument.
    pub(crate) argument: &'static str,
}

/// `cellar` and `fleet`.
pub(crate) fn load(root: &Path) -> Result<Vec<Example>> {
    let file = |path: &str| {
        let path = root.join("examples").join(path);
        std::fs::read(&path).wrap_err_with(|| format!("cannot read {}", path.display()))
    };
    let csv = String::from_utf8(file("cellar/heldout.csv")?)?;
    let row = csv
        .lines()
        .nth(1)
        .ok_or_else(|| eyre!("heldout.csv has no sample"))?;
    let analysis = row.split(',').map(str::parse).collect::<Result<Vec<f32>, _>>()?;
    // A .npy file ends with its elements; the first window is the first 6 · 25 of them.
    let npy = file("fleet/heldout.npy")?;
    let elements = 160 * 6 * 25;
    let start = npy
        .len()
        .checked_sub(4 * elements)
        .ok_or_else(|| eyre!("heldout.npy is too short"))?;
    let window = Tensor::from_le_bytes(DType::F32, &[6 * 25], &npy[start..start + 4 * 6 * 25])?;
    Ok(vec![
        Example {
            name: "cellar",
            published: "bench/cellar",
            file: file("cellar/model.onnx")?,
            sample: analysis,
            shape: vec![1, 13],
            baseline: "CellarFixedPoint",
            argument: "int256[13]",
        },
        Example {
            name: "fleet",
            published: "bench/fleet",
            file: file("fleet/model.onnx")?,
            sample: window.as_slice::<f32>().to_vec(),
            shape: vec![1, 6, 25],
            baseline: "FleetFixedPoint",
            argument: "int256[150]",
        },
    ])
}

impl Example {
    /// The sample as the engine takes it.
    pub(crate) fn tensor(&self) -> Result<Tensor> {
        Ok(Tensor::from_slice(DType::F32, &self.shape, &self.sample)?)
    }

    /// The sample as the precompile takes it.
    pub(crate) fn packed(&self) -> Bytes {
        self.sample.iter().flat_map(|value| value.to_be_bytes()).collect()
    }

    /// The sample in fixed point, 2^16 being one, as ABI words.
    pub(crate) fn q16(&self) -> Vec<u8> {
        self.sample
            .iter()
            .flat_map(|&value| q(value.into(), 16).to_be_bytes::<32>())
            .collect()
    }
}

/// `value · 2^bits`, rounded.
pub(crate) fn q(value: f64, bits: i32) -> I256 {
    let scaled = (value * 2f64.powi(bits)).round();
    I256::try_from(scaled as i64).expect("an i64 fits 256 bits")
}
