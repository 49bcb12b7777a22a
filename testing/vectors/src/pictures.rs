//! Pictures: what they decode to, resized, and as tensors. Their arithmetic (`docs/spec/image.md`) has one implementation for all machines.

use crate::golden::{Golden, formula, hash};
use eyre::{Result, WrapErr, ensure};
use std::path::Path;
use synod_image::{Channels, Encoded, Image, Rule, Tensor, resize};

/// Checks every picture, resizing and tensor of `pictures/golden.json` in `folder`; says how many they are.
///
/// # Errors
/// At the first that differs, naming it.
pub fn check(folder: &Path) -> Result<usize> {
    let folder = folder.join("pictures");
    let golden = Golden::read(&folder).wrap_err_with(|| format!("cannot read {}", folder.display()))?;
    for (name, width, height, mode, expected) in &golden.pictures {
        let image = decode(&folder, name)?;
        let channels = if mode == "L" {
            Channels::Grey
        } else {
            Channels::Rgb
        };
        ensure!(
            (image.width(), image.height(), image.channels()) == (*width, *height, channels),
            "{name}: it must have {width} × {height} pixels of mode {mode}"
        );
        ensure!(hash(image.data()) == *expected, "{name}: other pixels");
    }
    for (width, height, to_width, to_height, channels, filter, expected) in &golden.resized {
        let what = format!("{width}×{height}×{channels} to {to_width}×{to_height}, {filter}");
        let kind = if *channels == 1 {
            Channels::Grey
        } else {
            Channels::Rgb
        };
        let count = *width as usize * *height as usize * channels;
        let image = Image::new(*width, *height, kind, formula(count)).wrap_err_with(|| what.clone())?;
        let filter = serde_json::from_value(filter.as_str().into()).wrap_err_with(|| what.clone())?;
        let resized = resize(&image, *to_width, *to_height, filter).wrap_err_with(|| what.clone())?;
        ensure!(hash(resized.data()) == *expected, "{what}: other pixels");
    }
    for (rule, picture, shape, expected) in &golden.rules {
        let what = format!("{picture} by {rule}.json");
        let config = read(&folder, &format!("{rule}.json"))?;
        let rule = Rule::from_hugging_face(&config).wrap_err_with(|| what.clone())?;
        let end = if picture.starts_with("png") { "png" } else { "jpg" };
        let image = decode(&folder, &format!("{picture}.{end}"))?;
        let tensor = rule.apply(&image).wrap_err_with(|| what.clone())?;
        ensure!(tensor.shape() == *shape, "{what}: other shape");
        let bytes = match tensor {
            Tensor::F32 { data, .. } => data.iter().flat_map(|element| element.to_le_bytes()).collect(),
            Tensor::U8 { data, .. } => data,
        };
        ensure!(hash(&bytes) == *expected, "{what}: other elements");
    }
    Ok(golden.pictures.len() + golden.resized.len() + golden.rules.len())
}

fn decode(folder: &Path, name: &str) -> Result<Image> {
    let bytes = read(folder, name)?;
    Encoded::read(&bytes)
        .and_then(|encoded| encoded.decode())
        .wrap_err_with(|| name.to_owned())
}

fn read(folder: &Path, name: &str) -> Result<Vec<u8>> {
    let path = folder.join(name);
    std::fs::read(&path).wrap_err_with(|| format!("cannot read {}", path.display()))
}
