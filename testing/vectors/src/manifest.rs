//! `vectors/manifest.json`: what there is, and the hash of everything.

use eyre::{Result, WrapErr, ensure};
use serde::{Deserialize, Serialize};
use serde_json::ser::Formatter;
use std::{collections::BTreeMap, io, path::Path};

/// The version of the manifest's own form.
pub const FORMAT: u32 = 1;

/// The golden vectors of one version of the arithmetic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// The version of `docs/spec/arithmetic.md` that they belong to.
    pub profile_version: u32,
    /// Each is a folder of this path below `vectors/`.
    pub vectors: BTreeMap<String, Vector>,
    /// For each correctly rounded function of f32, by name: SHA-256 of its results as little-endian f32 at the inputs with
    /// the bits i × 65,537, i = 0 … 65,535.
    pub functions: BTreeMap<String, String>,
    /// Networks too large to commit, made from a seed by `synod-vectors`, by name.
    pub seeded: BTreeMap<String, Seeded>,
}

/// One model with inputs and the outputs that every implementation must give.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vector {
    /// The model's id (`docs/spec/model.md` §4).
    pub model_id: String,
    /// Operators that its graph uses.
    pub operators: Vec<String>,
    /// In the order of the graph.
    pub inputs: Vec<TensorEntry>,
    /// In the order of the graph.
    pub outputs: Vec<TensorEntry>,
    /// SHA-256 of each file, by name.
    pub files: BTreeMap<String, String>,
}

/// A tensor, with the digest of `docs/spec/model.md` §6.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorEntry {
    /// As the graph calls it.
    pub name: String,
    /// Element type, as `docs/spec/arithmetic.md` §1 names it.
    #[serde(rename = "type")]
    pub dtype: String,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Digest.
    pub digest: String,
}

/// A network that is made when it is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seeded {
    /// The model's id.
    pub model_id: String,
    /// Digest of each input.
    pub inputs: Vec<String>,
    /// Digest of each output.
    pub outputs: Vec<String>,
}

impl Manifest {
    /// Reads `manifest.json` of the folder.
    ///
    /// # Errors
    /// If it is not there, or of another form or profile than this program knows.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("manifest.json");
        let text =
            std::fs::read_to_string(&path).wrap_err_with(|| format!("cannot read {}", path.display()))?;
        let manifest: Self = serde_json::from_str(&text).wrap_err_with(|| format!("{}", path.display()))?;
        ensure!(
            manifest.format == FORMAT,
            "{} has form {}, this program reads form {FORMAT}",
            path.display(),
            manifest.format
        );
        ensure!(
            manifest.profile_version == synod_model::limits::PROFILE_VERSION,
            "the vectors are of profile {}, the engine of profile {}",
            manifest.profile_version,
            synod_model::limits::PROFILE_VERSION
        );
        Ok(manifest)
    }

    /// Writes `manifest.json` of the folder.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join("manifest.json");
        let mut text = Vec::new();
        self.serialize(&mut serde_json::Serializer::with_formatter(
            &mut text,
            Lines::default(),
        ))?;
        text.push(b'\n');
        std::fs::write(&path, text).wrap_err_with(|| format!("cannot write {}", path.display()))
    }
}

/// JSON with a line for each tensor and each list of names, so that a difference of two manifests can be read.
#[derive(Default)]
struct Lines {
    depth: usize,
    /// Whether the innermost object or array has something in it.
    filled: bool,
}

impl Lines {
    /// From this depth on all is on one line.
    const INLINE: usize = 5;

    fn begin<W: ?Sized + io::Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.filled = false;
        writer.write_all(bracket)
    }

    fn item<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if !first {
            writer.write_all(b",")?;
        }
        if self.depth < Self::INLINE {
            writer.write_all(b"\n")?;
            writer.write_all(&b"  ".repeat(self.depth))
        } else if !first {
            writer.write_all(b" ")
        } else {
            Ok(())
        }
    }

    fn end<W: ?Sized + io::Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        if self.filled && self.depth + 1 < Self::INLINE {
            writer.write_all(b"\n")?;
            writer.write_all(&b"  ".repeat(self.depth))?;
        }
        self.filled = true;
        writer.write_all(bracket)
    }
}

impl Formatter for Lines {
    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, b"[")
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer, b"]")
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.item(writer, first)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.filled = true;
        Ok(())
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, b"{")
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer, b"}")
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.item(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.filled = true;
        Ok(())
    }
}
