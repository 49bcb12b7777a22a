//! Models in files: an ONNX file with the tensors it keeps beside it, or a Keras file, read into canonical form.

use bytes::Bytes;
use clap::Args;
use eyre::{Context as _, Result, ensure};
use std::{
    collections::BTreeMap,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Component, Path, PathBuf},
};
use synod_import::{KerasOptions, import_keras, is_keras, with_safetensors};
use synod_model::{
    CanonicalModel, DimArgument, ExternalData, ExternalDataError, ImportOptions, Model, ModelId, import_onnx,
};

/// A model file and what to do about its free dimensions.
#[derive(Debug, Clone, Args)]
pub(crate) struct ModelArgs {
    /// ONNX file, or Keras file (.keras, .h5); to publish, also the folder of a pipeline
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Take the weights from this safetensors file: its tensors replace those of the same name in the ONNX file
    #[arg(long, value_name = "FILE.safetensors")]
    pub(crate) weights: Option<PathBuf>,

    /// Fix a free dimension (batch=1) or give it a bound ('seq<=512'); may be given several times
    #[arg(long = "dim", value_name = "NAME=N")]
    pub(crate) dims: Vec<DimArgument>,

    /// Compute a quantised network, written as floats between DequantizeLinear and QuantizeLinear, with integers, as runtimes do;
    /// outputs may differ by a step from what the file says, and the model has another id
    #[arg(long)]
    pub(crate) integers: bool,
}

impl ModelArgs {
    /// Reads the file and brings it to canonical form.
    pub(crate) fn load(&self) -> Result<LoadedModel> {
        load_bytes(&self.file, &self.read()?, &self.settings()?)
    }

    /// The bytes of the file as ONNX, with the tensors of `--weights`.
    pub(crate) fn read(&self) -> Result<Vec<u8>> {
        let mut file = read(&self.file)?;
        if let Some(weights) = &self.weights {
            let tensors =
                std::fs::read(weights).wrap_err_with(|| format!("cannot read {}", weights.display()))?;
            let filled = with_safetensors(file.into(), &tensors);
            file = filled.wrap_err_with(|| format!("{}", weights.display()))?.into();
        }
        Ok(file)
    }

    /// The settings of `--dim` and `--integers`.
    pub(crate) fn settings(&self) -> Result<ImportOptions> {
        options(&self.dims, self.integers)
    }
}

/// The settings of `--dim` and `--integers`.
pub(crate) fn options(dims: &[DimArgument], integers: bool) -> Result<ImportOptions> {
    let mut settings = BTreeMap::new();
    for dim in dims {
        ensure!(
            settings.insert(dim.name.clone(), dim.setting).is_none(),
            "--dim {} is given twice",
            dim.name
        );
    }
    Ok(ImportOptions {
        dims: settings,
        integers,
    })
}

/// A model that was read and checked.
pub(crate) struct LoadedModel {
    /// What the chain would hold.
    pub(crate) canonical: CanonicalModel,
    /// The same, ready to run.
    pub(crate) model: Model,
    /// Bytes of the file that was read.
    pub(crate) file_bytes: u64,
}

impl LoadedModel {
    pub(crate) fn id(&self) -> ModelId {
        self.model.id()
    }
}

/// Reads a model file and brings it to canonical form.
pub(crate) fn load(path: &Path, options: &ImportOptions) -> Result<LoadedModel> {
    load_bytes(path, &read(path)?, options)
}

/// The bytes of a model file as ONNX: a Keras file is converted.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    ensure!(
        !path.is_dir(),
        "{0} is a folder: `synod model publish {0} --dry-run` says what pipeline it is, if it is one",
        path.display()
    );
    let file = std::fs::read(path).wrap_err_with(|| format!("cannot read {}", path.display()))?;
    if !is_keras(&file) {
        return Ok(file);
    }
    let imported =
        import_keras(file, KerasOptions::default()).wrap_err_with(|| format!("{}", path.display()))?;
    Ok(imported.onnx.into())
}

/// Brings a file whose bytes are at hand to canonical form; its external tensors are beside `path`.
pub(crate) fn load_bytes(path: &Path, file: &[u8], options: &ImportOptions) -> Result<LoadedModel> {
    from_bytes(file, &Beside::of(path), options).wrap_err_with(|| format!("{}", path.display()))
}

/// The same for a file that is in memory.
pub(crate) fn from_bytes(
    file: &[u8],
    external: &dyn ExternalData,
    options: &ImportOptions,
) -> Result<LoadedModel> {
    let canonical = import_onnx(file, external, options)?;
    let model = Model::load(canonical.graph.clone(), canonical.weights.clone())
        .wrap_err("its canonical form is refused, which is a mistake of this tool")?;
    Ok(LoadedModel {
        canonical,
        model,
        file_bytes: file.len() as u64,
    })
}

/// Tensors in files beside the model.
pub(crate) struct Beside {
    folder: PathBuf,
}

impl Beside {
    /// Those of the model in this file.
    pub(crate) fn of(path: &Path) -> Self {
        Self {
            folder: path.parent().unwrap_or(Path::new("")).to_owned(),
        }
    }
}

impl ExternalData for Beside {
    fn read(&self, location: &str, offset: u64, length: usize) -> Result<Bytes, ExternalDataError> {
        let inside = Path::new(location)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        let fail = |why: String| ExternalDataError::Io {
            location: location.to_owned(),
            why,
        };
        if !inside || location.is_empty() {
            return Err(fail("it lies outside the model's folder".to_owned()));
        }
        let path = self.folder.join(location);
        let read = || -> Result<Vec<u8>, std::io::Error> {
            let mut file = std::fs::File::open(&path)?;
            // A damaged model may ask for more than there is: look before reserving memory.
            let available = file.metadata()?.len().saturating_sub(offset);
            file.seek(SeekFrom::Start(offset))?;
            let mut data = Vec::with_capacity(length.min(usize::try_from(available).unwrap_or(usize::MAX)));
            file.take(length as u64).read_to_end(&mut data)?;
            Ok(data)
        };
        let data = read().map_err(|error| fail(error.to_string()))?;
        if data.len() < length {
            let (needed, got) = (
                offset.saturating_add(length as u64),
                offset.saturating_add(data.len() as u64),
            );
            return Err(ExternalDataError::TooShort {
                location: location.to_owned(),
                needed,
                got,
            });
        }
        Ok(data.into())
    }
}

/// Writes a model as the pair of files that other tools open: the graph, and the weights beside it.
pub(crate) fn save(model: &CanonicalModel, folder: &Path) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder)
        .wrap_err_with(|| format!("cannot make the folder {}", folder.display()))?;
    let mut written = Vec::new();
    for (name, bytes) in [
        ("model.onnx", &model.graph),
        (synod_model::WEIGHTS_FILE, &model.weights),
    ] {
        if bytes.is_empty() {
            continue;
        }
        let path = folder.join(name);
        std::fs::write(&path, bytes).wrap_err_with(|| format!("cannot write {}", path.display()))?;
        written.push(path);
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn external_tensors_stay_in_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("weights"), [1, 2, 3, 4]).unwrap();
        let beside = Beside {
            folder: folder.path().to_owned(),
        };
        assert_eq!(beside.read("weights", 1, 2).unwrap(), [2, 3][..]);
        assert!(matches!(
            beside.read("weights", 1, 4),
            Err(ExternalDataError::TooShort {
                needed: 5,
                got: 4,
                ..
            })
        ));
        assert!(matches!(
            beside.read("weights", 9, 1),
            Err(ExternalDataError::TooShort { .. })
        ));
        for outside in ["../weights", "/etc/hostname", "a/../../b", ""] {
            assert!(
                matches!(beside.read(outside, 0, 1), Err(ExternalDataError::Io { .. })),
                "{outside}"
            );
        }
    }
}
