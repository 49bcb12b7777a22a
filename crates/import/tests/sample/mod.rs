//! The fixtures of `testing/keras`: archives of a model with what Keras says of it.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "each test binary uses its part"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    collections::BTreeMap,
    fs,
    io::{Cursor, Read as _, Write as _},
    path::{Path, PathBuf},
};
use synod_model::{DType, Tensor};
use zip::{ZipArchive, ZipWriter, write::SimpleFileOptions};

/// A fixture.
pub struct Sample {
    pub name: String,
    /// The file that Keras wrote.
    pub file: Vec<u8>,
    pub inputs: BTreeMap<String, Tensor>,
    /// In order.
    pub outputs: Vec<Tensor>,
    /// What layers give, by name.
    pub layers: BTreeMap<String, Tensor>,
}

/// Where the committed ones are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testing/keras/models")
}

/// Every archive of a folder, by name.
pub fn archives(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "zip"))
        .collect();
    paths.sort();
    paths
}

/// The members of a zip archive.
pub fn members(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).unwrap();
    (0..archive.len())
        .map(|index| {
            let mut member = archive.by_index(index).unwrap();
            let mut content = Vec::new();
            member.read_to_end(&mut content).unwrap();
            (member.name().unwrap().to_string(), content)
        })
        .collect()
}

/// A zip archive with these members, stored.
pub fn pack(members: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, content) in members {
        writer.start_file(name.as_str(), stored).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

impl Sample {
    pub fn read(path: &Path) -> Self {
        let mut members = members(&fs::read(path).unwrap());
        let arrays = npz(&members["sample.npz"]);
        let numbered = |prefix: &str| {
            (0..)
                .map_while(|index| arrays.get(&format!("{prefix}:{index}")).cloned())
                .collect()
        };
        let outputs: Vec<Tensor> = numbered("output");
        let layers = arrays
            .iter()
            .filter_map(|(name, tensor)| Some((name.strip_prefix("layer:")?.to_owned(), tensor.clone())))
            .collect();
        let mut inputs: BTreeMap<String, Tensor> = arrays
            .iter()
            .filter(|(name, _)| !name.contains(':'))
            .map(|(name, tensor)| (name.clone(), tensor.clone()))
            .collect();
        let file = match members.remove("weights.json") {
            None => {
                let model = members.into_iter().find(|(name, _)| name.starts_with("model."));
                model.unwrap().1
            }
            Some(places) => {
                let text = String::from_utf8(inputs["recipe"].bytes().to_vec()).unwrap();
                let shape: Vec<usize> = inputs["shape"]
                    .as_slice::<i64>()
                    .iter()
                    .map(|&size| size as usize)
                    .collect();
                let values = uniform(&text, shape.iter().product());
                // The only input, whatever its name.
                inputs = [(
                    String::new(),
                    Tensor::from_slice(DType::F32, &shape, &values).unwrap(),
                )]
                .into();
                filled(members, &places)
            }
        };
        Self {
            name: path.file_stem().unwrap().to_string_lossy().into_owned(),
            file,
            inputs,
            outputs,
            layers,
        }
    }
}

/// An application's file with its weights made from their recipes.
fn filled(members: BTreeMap<String, Vec<u8>>, places: &[u8]) -> Vec<u8> {
    let mut model: BTreeMap<String, Vec<u8>> = members
        .into_iter()
        .filter_map(|(name, content)| Some((name.strip_prefix("model/")?.to_owned(), content)))
        .collect();
    let kept = &model["model.weights.h5"];
    let places: Vec<(usize, usize, String)> = serde_json::from_slice(places).unwrap();
    let mut weights = Vec::new();
    let mut at = 0;
    for (offset, count, recipe) in places {
        let until = at + offset - weights.len();
        weights.extend(&kept[at..until]);
        at = until;
        weights.extend(uniform(&recipe, count).into_iter().flat_map(f32::to_le_bytes));
    }
    weights.extend(&kept[at..]);
    model.insert("model.weights.h5".to_owned(), weights);
    pack(&model)
}

/// The elements of a recipe (`testing/exports/fixture.py`).
fn uniform(recipe: &str, count: usize) -> Vec<f32> {
    let mut words = recipe.split_whitespace();
    assert_eq!(words.next(), Some("uniform"), "{recipe}");
    let seed: u64 = words.next().unwrap().parse().unwrap();
    // Written as f64, which holds every f32.
    let mut bound = || words.next().unwrap().parse::<f64>().unwrap() as f32;
    let (low, high) = (bound(), bound());
    (0..count as u64)
        .map(|index| {
            let mut state = seed.wrapping_add(index).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            state ^= state >> 31;
            let unit = (state >> 40) as f32 * 2f32.powi(-24);
            low + (high - low) * unit
        })
        .collect()
}

/// The arrays of a `.npz` archive.
pub fn npz(bytes: &[u8]) -> BTreeMap<String, Tensor> {
    members(bytes)
        .into_iter()
        .map(|(name, content)| (name.strip_suffix(".npy").unwrap().to_owned(), npy(&content)))
        .collect()
}

/// A `.npy` file of version 1, in C order.
fn npy(bytes: &[u8]) -> Tensor {
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..end]).unwrap();
    let field = |key: &str| header.split(&format!("'{key}': ")).nth(1).unwrap();
    assert!(field("fortran_order").starts_with("False"), "{header}");
    let dtype = match field("descr").split('\'').nth(1).unwrap() {
        "<f4" => DType::F32,
        "<i4" => DType::I32,
        "<i8" => DType::I64,
        "|u1" => DType::U8,
        "|b1" => DType::Bool,
        other => panic!("element type {other}"),
    };
    let inside = field("shape").split(['(', ')']).nth(1).unwrap();
    let shape: Vec<usize> = inside
        .split(',')
        .filter_map(|size| size.trim().parse().ok())
        .collect();
    let body = &bytes[end..];
    let tensor = match dtype {
        DType::F32 => {
            let values: Vec<f32> = body
                .chunks_exact(4)
                .map(|four| f32::from_le_bytes(four.try_into().unwrap()))
                .collect();
            Tensor::from_slice(dtype, &shape, &values)
        }
        DType::I32 => {
            let values: Vec<i32> = body
                .chunks_exact(4)
                .map(|four| i32::from_le_bytes(four.try_into().unwrap()))
                .collect();
            Tensor::from_slice(dtype, &shape, &values)
        }
        DType::I64 => {
            let values: Vec<i64> = body
                .chunks_exact(8)
                .map(|eight| i64::from_le_bytes(eight.try_into().unwrap()))
                .collect();
            Tensor::from_slice(dtype, &shape, &values)
        }
        _ => Tensor::from_slice(dtype, &shape, body),
    };
    tensor.unwrap()
}
