//! `vectors/pictures/golden.json`: what Pillow and transformers make of the pictures there, and whether this crate makes the same of them.
//!
//! The tests of this crate and the program of the golden vectors (`testing/vectors`) share it.

use std::{fmt::Display, path::Path};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use synod_image::{Channels, Encoded, Format, Image, Rule, Tensor, resize};

/// All that is known to be right; `testing/image/generate.py` writes it.
#[derive(Debug, Deserialize)]
pub(crate) struct Golden {
    /// File, width, height, mode, the beginning of the SHA-256 of the pixels.
    pub(crate) pictures: Vec<(String, u32, u32, String, String)>,
    /// Width and height before, width and height after, channels, filter, hash.
    pub(crate) resized: Vec<(u32, u32, u32, u32, usize, String, String)>,
    /// Configuration, picture, shape, hash of the little-endian elements.
    pub(crate) rules: Vec<(String, String, [usize; 4], String)>,
}

impl Golden {
    /// Reads the file in its folder.
    pub(crate) fn read(folder: &Path) -> std::io::Result<Self> {
        let bytes = std::fs::read(folder.join("golden.json"))?;
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Which pictures of the folder do not become the pixels that Pillow decodes, and how so.
    pub(crate) fn wrong_pictures(&self, folder: &Path) -> Vec<String> {
        wrong(&self.pictures, |(name, width, height, mode, expected)| {
            let image = decoded(folder, name)?;
            let channels = if mode == "L" {
                Channels::Grey
            } else {
                Channels::Rgb
            };
            let right = (image.width(), image.height(), image.channels()) == (*width, *height, channels);
            right
                .then_some(())
                .ok_or_else(|| format!("{name}: it must have {width} × {height} pixels of mode {mode}"))?;
            same(name, "pixels", image.data(), expected)
        })
    }

    /// Which resizings do not give Pillow's pixels.
    pub(crate) fn wrong_sizes(&self) -> Vec<String> {
        wrong(&self.resized, |case| {
            let (width, height, to_width, to_height, channels, filter, expected) = case;
            let what = format!("{width}×{height}×{channels} to {to_width}×{to_height}, {filter}");
            let kind = if *channels == 1 {
                Channels::Grey
            } else {
                Channels::Rgb
            };
            let pixels = formula(*width as usize * *height as usize * channels);
            let image = Image::new(*width, *height, kind, pixels).map_err(|error| named(&what, error))?;
            let filter =
                serde_json::from_value(filter.as_str().into()).map_err(|error| named(&what, error))?;
            let resized =
                resize(&image, *to_width, *to_height, filter).map_err(|error| named(&what, error))?;
            same(&what, "pixels", resized.data(), expected)
        })
    }

    /// Which rules do not make of a picture the tensor that transformers makes.
    pub(crate) fn wrong_tensors(&self, folder: &Path) -> Vec<String> {
        wrong(&self.rules, |(rule, picture, shape, expected)| {
            let what = format!("{picture} by {rule}.json");
            let config = read(folder, &format!("{rule}.json"))?;
            let rule = Rule::from_hugging_face(&config).map_err(|error| named(&what, error))?;
            let end = if picture.starts_with("png") { "png" } else { "jpg" };
            let image = decoded(folder, &format!("{picture}.{end}"))?;
            let tensor = rule.apply(&image).map_err(|error| named(&what, error))?;
            let foreseen = rule.shape(image.width(), image.height());
            if tensor.shape() != *shape || foreseen.as_ref() != Ok(shape) {
                return Err(format!(
                    "{what}: its shape is {:?}, foreseen {foreseen:?}, must be {shape:?}",
                    tensor.shape()
                ));
            }
            let bytes = match tensor {
                Tensor::F32 { data, .. } => data.iter().flat_map(|element| element.to_le_bytes()).collect(),
                Tensor::U8 { data, .. } => data,
            };
            same(&what, "elements", &bytes, expected)
        })
    }
}

fn wrong<T>(cases: &[T], check: impl Fn(&T) -> Result<(), String>) -> Vec<String> {
    cases.iter().filter_map(|case| check(case).err()).collect()
}

fn named(what: &str, error: impl Display) -> String {
    format!("{what}: {error}")
}

fn same(what: &str, of: &str, bytes: &[u8], expected: &str) -> Result<(), String> {
    match hash(bytes) == expected {
        true => Ok(()),
        false => Err(format!("{what}: other {of}")),
    }
}

fn read(folder: &Path, name: &str) -> Result<Vec<u8>, String> {
    std::fs::read(folder.join(name)).map_err(|error| named(name, error))
}

/// A picture of the folder, whose header says what its pixels say.
fn decoded(folder: &Path, name: &str) -> Result<Image, String> {
    let bytes = read(folder, name)?;
    let encoded = Encoded::read(&bytes).map_err(|error| named(name, error))?;
    let image = encoded.decode().map_err(|error| named(name, error))?;
    let format = if name.starts_with("png") {
        Format::Png
    } else {
        Format::Jpeg
    };
    let header = (
        encoded.format(),
        encoded.width(),
        encoded.height(),
        encoded.channels(),
    );
    if header != (format, image.width(), image.height(), image.channels()) {
        return Err(format!("{name}: its header says {header:?}"));
    }
    Ok(image)
}

/// The beginning of a SHA-256, as the generator writes it.
pub(crate) fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes)[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Bytes that look random with runs of black and white, by the generator's formula.
fn formula(count: usize) -> Vec<u8> {
    (0..count as u64)
        .map(|index| match (index / 37) % 5 {
            1 => 0,
            3 => 255,
            _ => (index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8,
        })
        .collect()
}
