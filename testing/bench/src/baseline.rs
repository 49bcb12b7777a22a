//! The example networks' weights in the form that `contracts/src/bench` takes them.

use crate::examples::q;
use alloy_primitives::I256;
use eyre::{Result, eyre};
use synod_testing::onnx;

/// The weights of an ONNX file by name.
struct Weights(Vec<(String, Vec<f32>)>);

impl Weights {
    fn get(&self, name: &str) -> Result<&[f32]> {
        let found = self.0.iter().find(|(candidate, _)| candidate == name);
        found
            .map(|(_, values)| values.as_slice())
            .ok_or_else(|| eyre!("the network has no weights {name}"))
    }
}

/// Words of a layer: for each four units the bias word, then a word for each input.
fn packed(weights: &[f32], bias: &[f32]) -> Vec<I256> {
    let inputs = weights.len() / bias.len();
    let word = |lanes: &dyn Fn(usize) -> Option<I256>| {
        (0..4).fold(I256::ZERO, |word, lane| {
            let value = lanes(lane).unwrap_or(I256::ZERO);
            word.wrapping_add(value.wrapping_shl(64 * lane))
        })
    };
    let mut words = Vec::new();
    for first in (0..bias.len()).step_by(4) {
        words.push(word(&|lane| bias.get(first + lane).map(|&b| q(b.into(), 32))));
        for input in 0..inputs {
            words.push(word(&|lane| {
                weights
                    .get((first + lane) * inputs + input)
                    .map(|&w| q(w.into(), 16))
            }));
        }
    }
    words
}

/// The bytes that the constructor of `example`'s contract takes.
///
/// # Errors
/// If the file does not hold the weights of that example.
pub(crate) fn weights(example: &str, file: &[u8]) -> Result<Vec<u8>> {
    let weights = Weights(onnx::initializers(file)?);
    let mut words: Vec<I256> = weights
        .get("mean")?
        .iter()
        .map(|&mean| q(mean.into(), 16))
        .collect();
    words.extend(
        weights
            .get("deviation")?
            .iter()
            .map(|&deviation| q(1.0 / f64::from(deviation), 32)),
    );
    let layers: &[&str] = if example == "cellar" {
        &["hidden", "output"]
    } else {
        &["first", "second", "output"]
    };
    for layer in layers {
        words.extend(packed(
            weights.get(&format!("{layer}.weight"))?,
            weights.get(&format!("{layer}.bias"))?,
        ));
    }
    Ok(words.iter().flat_map(|word| word.to_be_bytes::<32>()).collect())
}
