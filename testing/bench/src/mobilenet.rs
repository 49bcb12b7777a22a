//! MobileNetV2 with random weights, as PyTorch exports it: 3.5 million parameters, 14 MB, 300 million multiply-adds an image.
//!
//! The graph is a fixture (`testing/exports`), whose weights are recipes in place of files' names; here the files are made.

use crate::cluster::runCall;
use alloy_primitives::{Address, Bytes, bytes, hex};
use alloy_sol_types::SolCall as _;
use eyre::{Result, WrapErr};
use std::path::{Path, PathBuf};
use synod_model::{ExternalData, ExternalDataError, ImportOptions, import_onnx};

/// The name it gets on the chain.
pub(crate) const PUBLISHED: &str = "bench/mobilenet-v2";

/// Bytes of one image: three planes of 224 × 224 floats.
const IMAGE: usize = 3 * 224 * 224 * 4;

/// Makes tensors from recipes (`testing/exports/fixture.py`), and the files that a model names by them.
struct Recipes<'a> {
    folder: &'a Path,
}

impl ExternalData for Recipes<'_> {
    fn read(&self, location: &str, _: u64, length: usize) -> Result<bytes::Bytes, ExternalDataError> {
        let mut words = location.split_whitespace().skip(1);
        let mut word = || words.next().unwrap_or_default();
        let recipe = (
            word().parse::<u64>(),
            word().parse::<f64>(),
            word().parse::<f64>(),
        );
        let (Ok(seed), Ok(low), Ok(high)) = recipe else {
            let location = location.to_owned();
            return Err(ExternalDataError::NotFound { location });
        };
        let (low, high) = (low as f32, high as f32);
        let elements = (0..(length / 4) as u64).flat_map(|index| {
            let mut state = seed.wrapping_add(index).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            state ^= state >> 31;
            (low + (high - low) * ((state >> 40) as f32 / 16_777_216.0)).to_le_bytes()
        });
        let data: Vec<u8> = elements.collect();
        match std::fs::write(self.folder.join(location), &data) {
            Ok(()) => Ok(data.into()),
            Err(error) => Err(ExternalDataError::Io {
                location: location.to_owned(),
                why: error.to_string(),
            }),
        }
    }
}

/// Writes the network with its weights into a folder; gives its file.
pub(crate) fn write(root: &Path, folder: &Path) -> Result<PathBuf> {
    let graph = root.join("testing/exports/models/pytorch-torchscript-mobilenet-v2/model.onnx");
    let bytes = std::fs::read(&graph).wrap_err_with(|| format!("cannot read {}", graph.display()))?;
    std::fs::create_dir_all(folder)?;
    import_onnx(&bytes, &Recipes { folder }, &ImportOptions::default())?;
    let file = folder.join("model.onnx");
    std::fs::write(&file, bytes)?;
    Ok(file)
}

/// What a transaction holds: the question's head and the image's first pixels. The rest of the image is zeros, which the
/// contract's memory has: a transaction of a cluster is smaller than an image of floats.
pub(crate) fn question() -> Bytes {
    let call = runCall {
        model: PUBLISHED.into(),
        input: vec![0; IMAGE].into(),
    };
    let mut encoded = call.abi_encode();
    let head = encoded.len() - IMAGE;
    encoded.truncate(head + 32);
    for (index, pixel) in encoded[head..].chunks_exact_mut(4).enumerate() {
        pixel.copy_from_slice(&(index as f32 / 8.0).to_be_bytes());
    }
    encoded.into()
}

/// A contract that asks for a prediction: what it is called with, and zeros behind it. It fails if the prediction does.
pub(crate) fn contract(predict: Address) -> Vec<u8> {
    let question = runCall {
        model: PUBLISHED.into(),
        input: vec![0; IMAGE].into(),
    };
    let size = u32::try_from(question.abi_encode().len()).expect("a megabyte");
    // CALLDATASIZE PUSH0 PUSH0 CALLDATACOPY; PUSH0 PUSH0 PUSH3 size PUSH0 PUSH0 PUSH20 predict GAS CALL;
    // PUSH1 dest JUMPI PUSH0 PUSH0 REVERT; dest: JUMPDEST STOP
    let code = format!(
        "365f5f37 5f5f62{:06x}5f5f73{}5af1 6029575f5ffd 5b00",
        size,
        hex::encode(predict)
    );
    hex::decode(code.replace(' ', "")).expect("hexadecimal digits")
}
