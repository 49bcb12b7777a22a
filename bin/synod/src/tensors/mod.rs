//! Tensors in files: what people have (NumPy, JSON, CSV, ONNX test data) to what a network takes, and back.
//!
//! `.npy`, `.npz` and `.pb` carry their element type and are taken as they are: a `float64` array is refused where the
//! network takes `float32`, because rounding somebody's data unasked is not the tool's business. JSON and CSV carry only
//! decimal numbers, which are rounded once to the element type that the network declares.
//!
//! Reading has two steps, since the file may have to be looked at before the network is known in full: [`read`] gives
//! what the file says, [`assign`] matches that to the inputs of a network.

mod csv;
mod json;
mod npy;
mod npz;
mod text;

pub(crate) use npy::{file_stem, write as write_npy};
pub(crate) use text::Numbers;

use eyre::{Context as _, Result, bail, ensure};
use std::{fmt, path::Path, str::FromStr};
use synod_model::{DType, Dim, Tensor, TensorSignature};

/// The largest file read as an input. A network's inputs are bounded far below this.
const MAX_FILE_BYTES: u64 = 4 << 30;

/// `--input [NAME=]FILE`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InputArg {
    /// The input that is meant; without it, files are matched by the names they carry, then in order.
    name: Option<String>,
    file: String,
}

impl FromStr for InputArg {
    type Err = std::convert::Infallible;

    /// A file whose own name has an `=` in it is taken as a file.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.split_once('=') {
            Some((name, file)) if !name.is_empty() && !Path::new(text).exists() => Self {
                name: Some(name.to_owned()),
                file: file.to_owned(),
            },
            _ => Self {
                name: None,
                file: text.to_owned(),
            },
        })
    }
}

/// What a file says about one input.
pub(crate) struct Candidate {
    /// The name given on the command line.
    asked: Option<String>,
    /// The name that the file gives it, which counts if a network has such an input.
    hint: Option<String>,
    /// Where it came from, for messages.
    source: String,
    content: Content,
}

/// Elements with a type, or numbers still to be rounded to one.
pub(crate) enum Content {
    Typed(Tensor),
    Numbers(Numbers),
}

impl Candidate {
    /// The shape that the file gives it.
    pub(crate) fn shape(&self) -> &[usize] {
        match &self.content {
            Content::Typed(tensor) => tensor.shape(),
            Content::Numbers(numbers) => numbers.shape(),
        }
    }

    /// The elements, of this type: numbers without one are rounded to it.
    pub(crate) fn typed(&self, dtype: DType) -> Result<Tensor> {
        match &self.content {
            Content::Typed(tensor) => {
                ensure!(
                    tensor.dtype() == dtype,
                    "{} holds {}, the network gives {dtype}",
                    self.source,
                    tensor.dtype()
                );
                Ok(tensor.clone())
            }
            Content::Numbers(numbers) => numbers.round_to(dtype, numbers.shape()),
        }
    }

    /// The elements, if the file gives them a type.
    pub(crate) fn stored(&self) -> Option<&Tensor> {
        match &self.content {
            Content::Typed(tensor) => Some(tensor),
            Content::Numbers(_) => None,
        }
    }

    /// The elements as a scalar or vector of this type, if that is what they are.
    pub(crate) fn vector(&self, dtype: DType) -> Option<Tensor> {
        let tensor = match &self.content {
            Content::Typed(tensor) => tensor.clone(),
            Content::Numbers(numbers) => numbers.round_to(dtype, numbers.shape()).ok()?,
        };
        (tensor.dtype() == dtype && tensor.shape().len() <= 1).then_some(tensor)
    }
}

/// A `.npy` file in memory.
pub(crate) fn parse_npy(bytes: &[u8]) -> Result<Tensor> {
    npy::read(bytes)
}

/// The arrays of an `.npz` file in memory, with their names.
pub(crate) fn parse_npz(bytes: &[u8]) -> Result<Vec<(String, Tensor)>> {
    npz::read(bytes)
}

/// A CSV file in memory.
pub(crate) fn parse_csv(bytes: &[u8]) -> Result<Numbers> {
    csv::read(bytes)
}

/// Reads the files of `--input`.
pub(crate) fn read(args: &[InputArg]) -> Result<Vec<Candidate>> {
    let mut found = Vec::new();
    for arg in args {
        read_file(arg, &mut found).wrap_err_with(|| format!("cannot read {}", arg.file))?;
    }
    Ok(found)
}

fn read_file(arg: &InputArg, found: &mut Vec<Candidate>) -> Result<()> {
    let path = Path::new(&arg.file);
    let length = std::fs::metadata(path)?.len();
    ensure!(
        length <= MAX_FILE_BYTES,
        "{length} bytes are more than any network takes"
    );
    let bytes = std::fs::read(path)?;
    let extension = path
        .extension()
        .and_then(|ext| ext.to_str())
        .unwrap_or_default()
        .to_ascii_lowercase();
    let asked = arg.name.clone();
    let one = |content, hint| Candidate {
        asked: asked.clone(),
        hint,
        source: arg.file.clone(),
        content,
    };
    match extension.as_str() {
        "npy" => found.push(one(Content::Typed(npy::read(&bytes)?), None)),
        "npz" => {
            let arrays = npz::read(&bytes)?;
            match (&arg.name, arrays.len()) {
                (Some(_), 1) | (None, _) => {
                    found.extend(
                        arrays
                            .into_iter()
                            .map(|(name, t)| one(Content::Typed(t), Some(name))),
                    );
                }
                (Some(name), _) => match arrays.into_iter().find(|(array, _)| array == name) {
                    Some((_, tensor)) => found.push(one(Content::Typed(tensor), None)),
                    None => bail!("it has several arrays and none is called {name:?}"),
                },
            }
        }
        "pb" => {
            let (name, tensor) = synod_model::decode_tensor_proto(&bytes)?;
            found.push(one(Content::Typed(tensor), (!name.is_empty()).then_some(name)));
        }
        "csv" => found.push(one(Content::Numbers(csv::read(&bytes)?), None)),
        "json" => match json::read(&bytes)? {
            json::Document::Array(numbers) => found.push(one(Content::Numbers(numbers), None)),
            json::Document::Object(arrays) => {
                ensure!(
                    arg.name.is_none(),
                    "it names its arrays itself, so give the file without NAME="
                );
                found.extend(
                    arrays
                        .into_iter()
                        .map(|(name, n)| one(Content::Numbers(n), Some(name))),
                );
            }
        },
        _ => bail!("inputs are .npy, .npz, .json, .csv or .pb files (ONNX TensorProto)"),
    }
    Ok(())
}

/// What a tensor is to a network.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Role {
    Input,
    Output,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Input => "input",
            Self::Output => "output",
        })
    }
}

/// The candidate for each of the inputs or outputs with these names: the one asked for, else the one whose name the file
/// carries, else the next that is free.
pub(crate) fn order<'a>(
    role: Role,
    names: &[&str],
    candidates: &'a [Candidate],
) -> Result<Vec<Option<&'a Candidate>>> {
    let position = |name: &str| names.iter().position(|input| *input == name);
    let mut slots: Vec<Option<&Candidate>> = vec![None; names.len()];
    let mut unnamed = Vec::new();
    for candidate in candidates {
        let index = match (&candidate.asked, &candidate.hint) {
            (Some(name), _) => match position(name) {
                Some(index) => Some(index),
                None => bail!(
                    "the network has no {role} {name:?}; its {role}s are: {}",
                    names.join(", ")
                ),
            },
            (None, Some(hint)) => position(hint),
            (None, None) => None,
        };
        match index {
            Some(index) if slots[index].is_some() => bail!("{role} {:?} is given twice", names[index]),
            Some(index) => slots[index] = Some(candidate),
            None => unnamed.push(candidate),
        }
    }
    for candidate in unnamed {
        match slots.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => *slot = Some(candidate),
            None => bail!(
                "{} is one {role} too many; the network has {}: {}",
                candidate.source,
                names.len(),
                names.join(", ")
            ),
        }
    }
    Ok(slots)
}

/// The inputs of a network, in its order, with types and shapes checked.
pub(crate) fn assign(inputs: &[TensorSignature], candidates: &[Candidate]) -> Result<Vec<Tensor>> {
    let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
    let ordered = order(Role::Input, &names, candidates)?;
    inputs
        .iter()
        .zip(ordered)
        .map(|(input, candidate)| fit(candidate, input))
        .collect()
}

/// What an input takes from its candidate.
pub(crate) fn fit(candidate: Option<&Candidate>, input: &TensorSignature) -> Result<Tensor> {
    match candidate {
        Some(candidate) => convert(candidate, input)
            .wrap_err_with(|| format!("{} does not fit input {:?}", candidate.source, input.name)),
        None => {
            bail!(
                "input {:?} ({}) is missing: add --input {}=FILE",
                input.name,
                describe(input),
                input.name
            )
        }
    }
}

fn convert(candidate: &Candidate, input: &TensorSignature) -> Result<Tensor> {
    match &candidate.content {
        Content::Typed(tensor) => {
            ensure!(
                tensor.dtype() == input.dtype,
                "it holds {}, the network takes {} (in NumPy: array.astype({:?}))",
                tensor.dtype(),
                describe(input),
                npy::numpy_name(input.dtype),
            );
            ensure!(
                fits(tensor.shape(), &input.dims),
                "its shape is {:?}, the network takes {}",
                tensor.shape(),
                describe(input)
            );
            Ok(tensor.clone())
        }
        Content::Numbers(numbers) => numbers.fit(input),
    }
}

impl Numbers {
    /// The tensor that an input takes from these numbers.
    pub(crate) fn fit(&self, input: &TensorSignature) -> Result<Tensor> {
        let shape = self
            .shape_for(&input.dims)
            .filter(|shape| fits(shape, &input.dims));
        let Some(shape) = shape else {
            bail!(
                "its shape is {:?}, the network takes {}",
                self.shape(),
                describe(input)
            );
        };
        self.round_to(input.dtype, &shape)
    }
}

fn fits(shape: &[usize], dims: &[Dim]) -> bool {
    shape.len() == dims.len()
        && shape.iter().zip(dims).all(|(&size, dim)| match dim {
            Dim::Fixed(n) => size == *n,
            Dim::Symbol { max, .. } => (1..=*max).contains(&size),
            Dim::Open { .. } => true,
        })
}

/// `f32[batch<=64, 13]`
pub(crate) fn describe(value: &TensorSignature) -> String {
    let dims: Vec<String> = value
        .dims
        .iter()
        .map(|dim| match dim {
            Dim::Fixed(n) => n.to_string(),
            Dim::Symbol { name, max } => format!("{name}<={max}"),
            Dim::Open { name } => name.clone(),
        })
        .collect();
    format!("{}[{}]", value.dtype, dims.join(", "))
}

/// Where a tensor has its first NaN or infinity, if it has one.
pub(crate) fn first_non_finite(tensor: &Tensor) -> Option<usize> {
    let half = |exponent: u16| move |bits: &u16| bits & exponent == exponent;
    match tensor.dtype() {
        DType::F32 => tensor.as_slice::<f32>().iter().position(|x| !x.is_finite()),
        DType::F64 => tensor.as_slice::<f64>().iter().position(|x| !x.is_finite()),
        DType::F16 => tensor.as_slice::<u16>().iter().position(half(0x7c00)),
        DType::BF16 => tensor.as_slice::<u16>().iter().position(half(0x7f80)),
        _ => None,
    }
}
