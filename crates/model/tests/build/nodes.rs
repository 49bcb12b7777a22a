//! Nodes drawn at random: with attributes that fit and that do not, inputs of all types, shapes and sizes, constants and
//! variables, special values.

use super::{random::Random, shaped::Drawn, *};
use std::collections::BTreeMap;
use synod_model::*;

/// Names of attributes that operators of the profile have.
const INT_LISTS: &[&str] = &[
    "axes",
    "perm",
    "kernel_shape",
    "pads",
    "strides",
    "dilations",
    "output_padding",
    "output_shape",
    "split",
    "starts",
    "ends",
];
const INTS: &[&str] = &[
    "axis",
    "transA",
    "transB",
    "group",
    "ceil_mode",
    "count_include_pad",
    "storage_order",
    "keepdims",
    "noop_with_empty_axes",
    "select_last_index",
    "to",
    "start",
    "end",
    "num_outputs",
    "allowzero",
    "training_mode",
    "stash_type",
    "saturate",
    "seed",
    "fmod",
    "exclusive",
    "reverse",
    "upper",
    "k",
    "dtype",
    "detect_negative",
    "detect_positive",
];
const FLOATS: &[&str] = &[
    "alpha", "beta", "gamma", "epsilon", "momentum", "min", "max", "value", "ratio", "lambd", "bias",
];
const STRINGS: &[(&str, &[&str])] = &[
    (
        "auto_pad",
        &["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER", "none"],
    ),
    ("mode", &["constant", "reflect", "edge", "wrap", "linear"]),
    ("approximate", &["none", "tanh"]),
    ("direction", &["LEFT", "RIGHT"]),
];
const SMALL: &[i64] = &[0, 1, 2, 3, -1, -2, 1, 2, 1, 4, 5];
const ANY: &[i64] = &[i64::MAX, i64::MIN, 1 << 31, -(1 << 31), 1 << 40, 100, -100];
const SPECIAL: &[f32] = &[
    0.0,
    -0.0,
    1.0,
    -1.0,
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::MIN_POSITIVE,
    1e-42,
    f32::MAX,
    0.5,
];

fn number(random: &mut Random) -> i64 {
    if random.below(20) == 0 {
        random.pick(ANY)
    } else {
        random.pick(SMALL)
    }
}

/// A list, of a length that may fit a tensor of this rank: an entry for each axis or spatial axis, or two.
fn numbers(rank: usize, random: &mut Random) -> Vec<i64> {
    let spatial = rank.saturating_sub(2);
    let any = random.below(5);
    let length = random.pick(&[rank, 2 * rank, spatial, spatial, 2 * spatial, 1, any]);
    // Half of the lists are positive throughout, as sizes and strides are.
    let positive = random.below(2) == 0;
    (0..length)
        .map(|_| {
            if positive {
                1 + random.below(3) as i64
            } else {
                number(random)
            }
        })
        .collect()
}

/// Random attributes, and most of the time those that the operator is known to require.
fn attributes(required: &[&'static str], rank: usize, random: &mut Random) -> Vec<Vec<u8>> {
    let mut attributes: Vec<_> = Vec::new();
    for name in required
        .iter()
        .filter(|_| random.below(10) > 0)
        .collect::<Vec<_>>()
    {
        let words = STRINGS.iter().find(|(known, _)| known == name);
        attributes.push(if let Some((_, values)) = words {
            attr_string(name, random.pick(values))
        } else if INT_LISTS.contains(name) {
            attr_ints(name, &numbers(rank, random))
        } else {
            attr_int(name, number(random))
        });
    }
    let count = random.pick(&[0, 0, 0, 1, 1, 2]);
    attributes.extend((0..count).map(|_| match random.below(5) {
        0 | 1 => attr_ints(random.pick(INT_LISTS), &numbers(rank, random)),
        2 => attr_int(random.pick(INTS), number(random)),
        3 => attr_float(random.pick(FLOATS), random.pick(SPECIAL)),
        _ => {
            let (name, values) = random.pick(STRINGS);
            attr_string(name, random.pick(values))
        }
    }));
    attributes
}

/// Elements with special values among them.
pub fn elements(dtype: DType, count: usize, random: &mut Random) -> Vec<u8> {
    let one = |random: &mut Random| -> Vec<u8> {
        match dtype {
            DType::F32 if random.below(3) == 0 => random.pick(SPECIAL).to_le_bytes().to_vec(),
            DType::F32 => random.float().to_le_bytes().to_vec(),
            DType::F64 => f64::from(random.pick(SPECIAL) * random.float())
                .to_le_bytes()
                .to_vec(),
            DType::Bool => vec![random.below(2) as u8],
            DType::I64 => number(random).to_le_bytes().to_vec(),
            DType::I32 => (number(random) as i32).to_le_bytes().to_vec(),
            _ => random.next().to_le_bytes()[..dtype.size()].to_vec(),
        }
    };
    (0..count).flat_map(|_| one(random)).collect()
}

/// The attributes that operators have been found to require.
pub type Required = BTreeMap<&'static str, Vec<&'static str>>;

/// Adds any node of the operator, which may be valid or not. Its inputs and outputs are called `i0`, `o0` … after the prefix.
pub fn blind_node(
    mut file: OnnxFile,
    prefix: &str,
    definition: &ops::Definition,
    required: &Required,
    random: &mut Random,
) -> OnnxFile {
    let dtype = if random.below(2) == 0 {
        DType::F32
    } else {
        random.pick(&DType::ALL)
    };
    let rank = random.pick(&[0, 1, 2, 3, 4, 3, 4]);
    let shape: Vec<usize> = (0..rank)
        .map(|_| random.pick(&[1, 2, 3, 4, 5, 6, 4, 3, 2, 0]))
        .collect();
    let most = (*definition.inputs.end()).min(5).max(*definition.inputs.start());
    let count = definition.inputs.start() + random.below(most + 1 - definition.inputs.start());
    let mut names = Vec::new();
    // normalisations take several operands of one element for each channel
    let of_channels = random.below(4) == 0;
    for index in 0..count {
        let name = format!("{prefix}i{index}");
        // Later inputs are like the first, or a slice of it, or integers that say what to do.
        let (dtype, shape) = match random.below(6) {
            _ if index > 0 && of_channels => (dtype, shape.iter().skip(1).take(1).copied().collect()),
            0 if index > 0 => {
                let length = random.pick(&[shape.len(), 2 * shape.len(), 1, 0]);
                (DType::I64, vec![length])
            }
            1 if index > 0 => (random.pick(&[DType::I64, DType::Bool, DType::F32]), vec![]),
            2 if index > 0 => (dtype, shape.iter().skip(random.below(3)).copied().collect()),
            3 => (dtype, (0..random.below(4)).map(|_| random.below(4)).collect()),
            _ => (dtype, shape.clone()),
        };
        let code = dtype.onnx_code();
        if random.below(20) == 0 {
            names.push(String::new());
            continue;
        }
        if random.below(3) == 0 || (dtype == DType::I64 && shape.len() <= 1) {
            let bytes = elements(dtype, shape.iter().product(), random);
            let dims: Vec<i64> = shape.iter().map(|&dim| dim as i64).collect();
            file = file.initializer(&name, code, &dims, &bytes);
        } else {
            let dims: Vec<String> = shape.iter().map(usize::to_string).collect();
            file = file.input(&name, code, &dims.iter().map(String::as_str).collect::<Vec<_>>());
        }
        names.push(name);
    }
    let outputs: Vec<String> = (0..(*definition.outputs.end()).min(1 + random.below(3)))
        .map(|o| format!("{prefix}o{o}"))
        .collect();
    file = file.node_with(
        definition.name,
        &names.iter().map(String::as_str).collect::<Vec<_>>(),
        &outputs.iter().map(String::as_str).collect::<Vec<_>>(),
        &attributes(
            required.get(definition.name).map_or(&[], Vec::as_slice),
            shape.len(),
            random,
        ),
    );
    // The declared types are guesses: the importer says when they are wrong, and then the next is tried.
    for output in &outputs {
        file = file.output(output, dtype.onnx_code());
    }
    file
}

/// Adds a node whose inputs and attributes were drawn to fit; each input is a constant or a variable.
pub fn shaped_node(
    mut file: OnnxFile,
    prefix: &str,
    definition: &ops::Definition,
    drawn: &Drawn,
    random: &mut Random,
) -> OnnxFile {
    let mut names = Vec::new();
    for (index, input) in drawn.inputs.iter().enumerate() {
        let Some((dtype, shape)) = input else {
            names.push(String::new());
            continue;
        };
        let name = format!("{prefix}i{index}");
        let code = dtype.onnx_code();
        if let Some(numbers) = drawn.numbers.get(&index) {
            file = file.i64s(&name, &[numbers.len() as i64], numbers);
        } else if let Some(floats) = drawn.floats.get(&index) {
            file = file.floats(&name, &[floats.len() as i64], floats);
        } else if random.below(3) == 0 {
            let dims: Vec<i64> = shape.iter().map(|&dim| dim as i64).collect();
            let bytes = elements(*dtype, shape.iter().product(), random);
            file = file.initializer(&name, code, &dims, &bytes);
        } else {
            let dims: Vec<String> = shape.iter().map(usize::to_string).collect();
            file = file.input(&name, code, &dims.iter().map(String::as_str).collect::<Vec<_>>());
        }
        names.push(name);
    }
    let count = if drawn.outputs.is_empty() {
        *definition.outputs.end()
    } else {
        drawn.outputs.len()
    };
    let outputs: Vec<String> = (0..count).map(|o| format!("{prefix}o{o}")).collect();
    file = file.node_with(
        definition.name,
        &names.iter().map(String::as_str).collect::<Vec<_>>(),
        &outputs.iter().map(String::as_str).collect::<Vec<_>>(),
        &drawn.attributes,
    );
    for (index, output) in outputs.iter().enumerate() {
        file = match drawn.outputs.get(index) {
            Some((dtype, Some(rank))) => file.output_of(output, dtype.onnx_code(), &vec![""; *rank]),
            Some((dtype, None)) => file.output(output, dtype.onnx_code()),
            None => file.output(output, DType::F32.onnx_code()),
        };
    }
    file
}

/// Imports; where an output's declared type is wrong, changes it to the computed one.
pub fn import_with_right_types(file: &OnnxFile) -> Result<CanonicalModel, ImportError> {
    let mut bytes = file.clone().encode();
    loop {
        match import_onnx(&bytes, &NoExternalData, &ImportOptions::default()) {
            Err(ImportError::Plan(PlanError::OutputType {
                name,
                declared,
                computed,
            })) => {
                let info = |dtype: DType| value_info(&name, dtype.onnx_code(), None);
                let (old, new) = (info(declared), info(computed));
                let at = bytes
                    .windows(old.len())
                    .position(|window| window == old)
                    .expect("it is declared so");
                bytes[at..at + old.len()].copy_from_slice(&new);
            }
            other => return other,
        }
    }
}
