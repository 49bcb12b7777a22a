//! NumPy's `.npy`: a magic number, a Python dictionary with type, order and shape, then the elements.
//!
//! Format: NEP 1, versions 1.0 to 3.0. bfloat16, which NumPy does not have, is written as ml_dtypes does (`|V2`), and only
//! written: two opaque bytes may mean anything.

use eyre::{Context as _, Result, bail, ensure, eyre};
use std::{io::Write as _, path::Path};
use synod_model::{DType, Tensor};

const MAGIC: &[u8] = b"\x93NUMPY";

/// Reads an array.
pub(super) fn read(bytes: &[u8]) -> Result<Tensor> {
    let (header, data) = split(bytes).ok_or_else(|| eyre!("it is not a .npy file, or it is cut off"))?;
    let descr = field(header, "descr").ok_or_else(|| eyre!("its header names no type"))?;
    let descr = descr.trim_matches(['\'', '"']);
    let (order, code) = descr.split_at(descr.len().min(1));
    let Some(dtype) = DType::ALL
        .into_iter()
        .find(|&dtype| dtype != DType::BF16 && numpy_code(dtype) == code)
    else {
        bail!("its elements are {descr:?}, which no network takes (numbers and bools only)");
    };
    let fortran = match field(header, "fortran_order") {
        Some("True") => true,
        Some("False") => false,
        _ => bail!("its header does not say the order of its elements"),
    };
    let shape = field(header, "shape")
        .and_then(parse_shape)
        .ok_or_else(|| eyre!("its header names no shape"))?;
    let count = shape.iter().try_fold(dtype.size(), |n, &dim| n.checked_mul(dim));
    ensure!(
        count == Some(data.len()),
        "its header says {shape:?} of {descr}, but {} bytes follow: the file is cut off or damaged",
        data.len()
    );
    let reordered = if fortran {
        Some(row_major(data, &shape, dtype.size()))
    } else {
        None
    };
    let data = reordered.as_deref().unwrap_or(data);
    Ok(match order {
        ">" => Tensor::from_be_bytes(dtype, &shape, data)?,
        "<" | "|" | "=" => Tensor::from_le_bytes(dtype, &shape, data)?,
        _ => bail!("its elements are {descr:?}, which no network takes"),
    })
}

/// The header's dictionary and the bytes after it.
fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (version, rest) = rest.split_at_checked(2)?;
    let (length, rest) = match version[0] {
        1 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_le_bytes(*length)), rest)
        }
        2 | 3 => {
            let (length, rest) = rest.split_first_chunk::<4>()?;
            (usize::try_from(u32::from_le_bytes(*length)).ok()?, rest)
        }
        _ => return None,
    };
    let (header, data) = rest.split_at_checked(length)?;
    Some((std::str::from_utf8(header).ok()?, data))
}

/// The value of a key in the header: a string, a bool or a tuple.
fn field<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let at = ['\'', '"'].iter().find_map(|quote| {
        let quoted = format!("{quote}{key}{quote}");
        header.find(&quoted).map(|start| start + quoted.len())
    })?;
    let value = header[at..].trim_start().strip_prefix(':')?.trim_start();
    let end = match value.chars().next()? {
        '(' => value.find(')')? + 1,
        quote @ ('\'' | '"') => value[1..].find(quote)? + 2,
        _ => value.find([',', '}'])?,
    };
    Some(value[..end].trim_end())
}

fn parse_shape(tuple: &str) -> Option<Vec<usize>> {
    let inside = tuple.strip_prefix('(')?.strip_suffix(')')?;
    inside
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(|word| word.parse().ok())
        .collect()
}

/// Elements in column-major order, brought to row-major order.
fn row_major(data: &[u8], shape: &[usize], size: usize) -> Vec<u8> {
    let mut strides = Vec::with_capacity(shape.len());
    let mut stride = size;
    for &dim in shape {
        strides.push(stride);
        stride *= dim;
    }
    let mut out = Vec::with_capacity(data.len());
    let mut index = vec![0; shape.len()];
    while out.len() < data.len() {
        let at: usize = index.iter().zip(&strides).map(|(i, stride)| i * stride).sum();
        out.extend_from_slice(&data[at..at + size]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    out
}

/// Writes an array, format 1.0, little-endian, row-major.
pub(crate) fn write(path: &Path, tensor: &Tensor) -> Result<()> {
    let save = || -> std::io::Result<()> {
        let mut file = std::fs::File::create(path)?;
        file.write_all(&encode_header(tensor.dtype(), tensor.shape()))?;
        file.write_all(tensor.bytes())
    };
    save().wrap_err_with(|| format!("cannot write {}", path.display()))
}

fn encode_header(dtype: DType, shape: &[usize]) -> Vec<u8> {
    let order = if dtype.size() == 1 || dtype == DType::BF16 {
        '|'
    } else {
        '<'
    };
    let dims: String = shape.iter().map(|dim| format!("{dim}, ")).collect();
    let tuple = match shape {
        [_] => format!("({})", dims.trim_end()),
        _ => format!("({})", dims.trim_end_matches([',', ' '])),
    };
    let code = numpy_code(dtype);
    let mut header = format!("{{'descr': '{order}{code}', 'fortran_order': False, 'shape': {tuple}, }}");
    // The elements begin at a multiple of 64; the header ends with a newline.
    let before = MAGIC.len() + 4;
    let padded = (before + header.len() + 1).next_multiple_of(64) - before;
    header.push_str(&" ".repeat(padded - header.len() - 1));
    header.push('\n');
    let length = u16::try_from(header.len()).expect("a header of at most eight dimensions is short");
    [MAGIC, &[1, 0], &length.to_le_bytes(), header.as_bytes()].concat()
}

/// NumPy's type code without byte order.
fn numpy_code(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "f4",
        DType::F64 => "f8",
        DType::F16 => "f2",
        DType::BF16 => "V2",
        DType::I8 => "i1",
        DType::I16 => "i2",
        DType::I32 => "i4",
        DType::I64 => "i8",
        DType::U8 => "u1",
        DType::U16 => "u2",
        DType::U32 => "u4",
        DType::U64 => "u8",
        DType::Bool => "b1",
    }
}

/// NumPy's name for a type, as `astype` takes it.
pub(super) fn numpy_name(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "float32",
        DType::F64 => "float64",
        DType::F16 => "float16",
        DType::BF16 => "bfloat16",
        DType::I8 => "int8",
        DType::I16 => "int16",
        DType::I32 => "int32",
        DType::I64 => "int64",
        DType::U8 => "uint8",
        DType::U16 => "uint16",
        DType::U32 => "uint32",
        DType::U64 => "uint64",
        DType::Bool => "bool",
    }
}

/// The name of the file for an output: characters other than letters, digits, `.`, `_` and `-` become `_`.
pub(crate) fn file_stem(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
                c
            } else {
                '_'
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(tensor: &Tensor) -> Vec<u8> {
        [
            encode_header(tensor.dtype(), tensor.shape()),
            tensor.to_le_bytes(),
        ]
        .concat()
    }

    #[test]
    fn every_type_and_rank_survives_the_round_trip() {
        for dtype in DType::ALL.into_iter().filter(|&dtype| dtype != DType::BF16) {
            for shape in [vec![], vec![3], vec![2, 3], vec![0, 4], vec![1, 1, 2, 1]] {
                let count: usize = shape.iter().product();
                let bytes: Vec<u8> = (0..count * dtype.size()).map(|i| u8::from(i % 3 == 0)).collect();
                let tensor = Tensor::from_le_bytes(dtype, &shape, &bytes).unwrap();
                let file = encode(&tensor);
                assert_eq!((file.len() - bytes.len()) % 64, 0, "elements are aligned");
                assert_eq!(read(&file).unwrap(), tensor, "{dtype} {shape:?}");
            }
        }
    }

    #[test]
    fn numpys_own_bytes_are_read() {
        // numpy.save of numpy.asfortranarray([[1, 2, 3], [4, 5, 6]], dtype='>i2')
        let mut file = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        let dictionary = "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }";
        file.extend(format!("{dictionary:<117}\n").bytes());
        file.extend([0, 1, 0, 4, 0, 2, 0, 5, 0, 3, 0, 6]);
        let tensor = read(&file).unwrap();
        assert_eq!(
            (tensor.shape(), tensor.as_slice::<i16>()),
            (&[2, 3][..], &[1i16, 2, 3, 4, 5, 6][..])
        );
    }

    #[test]
    fn damaged_files_are_refused() {
        let good = encode(&Tensor::from_slice(DType::F32, &[4], &[1f32, 2.0, 3.0, 4.0]).unwrap());
        for length in 0..good.len() {
            assert!(read(&good[..length]).is_err(), "cut at {length}");
        }
        let replaced = |from: &str, to: &str| {
            assert_eq!(from.len(), to.len());
            let at = good
                .windows(from.len())
                .position(|window| window == from.as_bytes())
                .unwrap();
            let mut bad = good.clone();
            bad[at..at + to.len()].copy_from_slice(to.as_bytes());
            read(&bad)
        };
        for (from, to) in [
            ("<f4", "<c8"),
            ("(4,)", "(5,)"),
            ("(4,)", "(-4)"),
            ("False", "Maybe"),
            ("shape", "shave"),
        ] {
            assert!(replaced(from, to).is_err(), "{to}");
        }
        assert!(replaced("'<f4'", "'|O '").is_err());
    }

    #[test]
    fn names_become_file_names() {
        assert_eq!(file_stem("a/b:0 é"), "a_b_0__");
        assert_eq!(file_stem("logits-1.x_Y"), "logits-1.x_Y");
    }
}
