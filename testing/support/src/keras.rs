//! Small and large Keras files, as Keras 3 writes them, without Keras.

use hdf5_pure::FileBuilder;
use serde_json::{Value, json};
use std::io::{Cursor, Write as _};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// Why a file was not made.
#[derive(Debug, thiserror::Error)]
pub enum KerasError {
    /// The archive.
    #[error("the archive: {0}")]
    Zip(#[from] zip::result::ZipError),
    /// A member of it.
    #[error("a member of the archive: {0}")]
    Io(#[from] std::io::Error),
    /// The weights.
    #[error("the file of weights: {0}")]
    Hdf5(#[from] hdf5_pure::Error),
}

/// The bytes of a `.keras` file with the network that [`crate::onnx::network`] makes, as a Sequential model of Dense layers: weights are in
/// an HDF5 file, and members lie in the archive as they are.
///
/// # Errors
/// If something cannot be written.
pub fn network(layers: usize, width: usize, seed: u64) -> Result<Vec<u8>, KerasError> {
    let mut weight = crate::weights(seed);
    let mut file = FileBuilder::new();
    let mut all = file.create_group("layers");
    let names: Vec<String> = (0..layers)
        .map(|layer| match layer {
            0 => "dense".to_owned(),
            _ => format!("dense_{layer}"),
        })
        .collect();
    for name in &names {
        let values: Vec<f32> = (0..width * width).map(|_| weight()).collect();
        let mut group = all.create_group(name);
        let mut vars = group.create_group("vars");
        vars.create_dataset("0")
            .with_f32_data(&values)
            .with_shape(&[width as u64; 2]);
        group.add_group(vars.finish());
        all.add_group(group.finish());
    }
    file.add_group(all.finish());
    let members = [
        (
            "metadata.json",
            json!({ "keras_version": "3.15.1" }).to_string().into_bytes(),
        ),
        ("config.json", config(&names, width).to_string().into_bytes()),
        ("model.weights.h5", file.finish()?),
    ];
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, content) in members {
        archive.start_file(name, stored)?;
        archive.write_all(&content)?;
    }
    Ok(archive.finish()?.into_inner())
}

fn config(names: &[String], width: usize) -> Value {
    let input = json!({
        "class_name": "InputLayer",
        "config": { "name": "x", "batch_shape": [1, width], "dtype": "float32" },
    });
    let dense = |name: &String| {
        json!({
            "class_name": "Dense",
            "config": { "name": name, "units": width, "activation": "relu", "use_bias": false, "dtype": "float32" },
        })
    };
    let layers: Vec<Value> = std::iter::once(input).chain(names.iter().map(dense)).collect();
    json!({
        "class_name": "Sequential",
        "config": { "name": "network", "layers": layers, "build_input_shape": [1, width] },
    })
}
