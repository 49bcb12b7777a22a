//! Brings an ONNX file to canonical form: `cargo run -p synod-model --example canonicalize FILE FOLDER [--dim NAME=SIZE]...`
//! writes FOLDER/model.onnx and FOLDER/weights.bin, which other runtimes open, and prints the model id.

use std::{error::Error, fs, path::Path};
use synod_model::*;

/// Files beside the model.
struct Beside<'a>(&'a Path);

impl ExternalData for Beside<'_> {
    fn read(&self, location: &str, offset: u64, length: usize) -> Result<bytes::Bytes, ExternalDataError> {
        let fail = |why: String| ExternalDataError::Io {
            location: location.to_owned(),
            why,
        };
        if Path::new(location)
            .components()
            .any(|part| !matches!(part, std::path::Component::Normal(_)))
        {
            return Err(fail("the path leaves the model's folder".into()));
        }
        let file =
            bytes::Bytes::from(fs::read(self.0.join(location)).map_err(|error| fail(error.to_string()))?);
        let needed = offset.saturating_add(length as u64);
        if needed > file.len() as u64 {
            let got = file.len() as u64;
            return Err(ExternalDataError::TooShort {
                location: location.to_owned(),
                needed,
                got,
            });
        }
        Ok(file.slice(offset as usize..needed as usize))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--dim")
        .collect();
    let [file, folder, dims @ ..] = &arguments[..] else {
        return Err("usage: canonicalize FILE FOLDER [--dim NAME=SIZE]...".into());
    };
    let mut options = ImportOptions::default();
    for dim in dims {
        let DimArgument { name, setting } = dim.parse()?;
        options.dims.insert(name, setting);
    }
    let beside = Beside(Path::new(file).parent().unwrap_or(Path::new(".")));
    let canonical = import_onnx(&fs::read(file)?, &beside, &options)?;
    fs::create_dir_all(folder)?;
    fs::write(Path::new(folder).join("model.onnx"), &canonical.graph)?;
    fs::write(Path::new(folder).join(WEIGHTS_FILE), &canonical.weights)?;
    let model = Model::load(canonical.graph, canonical.weights)?;
    println!("{}", model.id());
    Ok(())
}
