//! Files that are well formed and make no sense: the committed networks (`vectors/`: every operator and some networks; `testing/sklearn`;
//! `examples/`) with their structure changed, from a seed. Mutated bytes hardly get past the wire form; these get to the operators.
//!
//! `SYNOD_ONNX_MUTATIONS` sets how many for each file.

use crate::{
    build::random::Random,
    fuzzing::{assert_memory_stayed_small, import_beside},
};
use bytes::Bytes;
use prost::Message as _;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use synod_model::{
    WEIGHTS_FILE,
    proto::{
        AttributeProto, DimensionProto, DimensionValue, GraphProto, ModelProto, NodeProto, TensorProto,
        ValueInfoProto,
    },
};

/// Sizes, axes and other integers: ordinary ones, so that changes add up to models that import, and some that break arithmetic.
const NUMBERS: &[i64] = &[
    0,
    1,
    2,
    3,
    4,
    5,
    7,
    -1,
    -2,
    -3,
    16,
    255,
    1 << 16,
    1 << 31,
    1 << 40,
    i64::MAX,
    i64::MIN,
];

const FLOATS: &[f32] = &[
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    1e-30,
    3.0,
    1e30,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
];

/// Larger files take longer and show nothing that smaller ones do not.
const MAX_FILE_BYTES: u64 = 32 << 10;

struct Fixture {
    name: String,
    model: ModelProto,
    weights: Bytes,
}

/// Every `model.onnx` below a folder.
fn find(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).expect("a folder of the repository");
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            find(&path, found);
        } else if path.file_name().is_some_and(|name| name == "model.onnx") {
            found.push(path);
        }
    }
}

fn fixtures() -> Vec<Fixture> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = Vec::new();
    for folder in ["vectors", "testing/sklearn/models", "examples"] {
        find(&root.join(folder), &mut files);
    }
    files.sort();
    let small = |path: &PathBuf| fs::metadata(path).is_ok_and(|file| file.len() <= MAX_FILE_BYTES);
    let fixtures = files.into_iter().filter(small).map(|path| Fixture {
        model: ModelProto::decode(&fs::read(&path).expect("a file")[..]).expect("an ONNX file"),
        weights: fs::read(path.with_file_name(WEIGHTS_FILE))
            .unwrap_or_default()
            .into(),
        name: path
            .parent()
            .unwrap_or(&path)
            .strip_prefix(&root)
            .unwrap_or(&path)
            .display()
            .to_string(),
    });
    fixtures.collect()
}

/// What is put in place of what is there.
struct Stock {
    operators: Vec<String>,
    attributes: Vec<AttributeProto>,
}

impl Stock {
    fn of(fixtures: &[Fixture]) -> Self {
        let nodes = fixtures
            .iter()
            .filter_map(|fixture| fixture.model.graph.as_ref())
            .flat_map(|graph| &graph.node);
        let mut stock = Self {
            operators: nodes.clone().filter_map(|node| node.op_type.clone()).collect(),
            attributes: nodes.flat_map(|node| node.attribute.clone()).collect(),
        };
        stock.operators.sort_unstable();
        stock.operators.dedup();
        stock
    }
}

fn number(random: &mut Random) -> i64 {
    match random.below(8) {
        0 => random.next() as i64,
        _ => random.pick(NUMBERS),
    }
}

/// One of a list; `None` of an empty one.
fn any<'l, T>(list: &'l mut [T], random: &mut Random) -> Option<&'l mut T> {
    let at = random.below(list.len());
    list.get_mut(at)
}

fn change_attribute(attribute: &mut AttributeProto, random: &mut Random) {
    match random.below(8) {
        0 => attribute.r#type = Some(random.below(16) as i32),
        1 => attribute.ints.push(number(random)),
        2 => drop(attribute.ints.pop()),
        3 => {
            attribute.s = Some(Bytes::from_static(
                [&b"SAME_UPPER"[..], b"VALID", b"linear", b"", b"\xff"][random.below(5)],
            ))
        }
        4 => attribute.f = Some(random.pick(FLOATS)),
        5 => attribute.i = Some(number(random)),
        _ => {
            if let Some(tensor) = &mut attribute.t {
                change_tensor(tensor, random);
            } else if let Some(graph) = &mut attribute.g {
                change_graph(graph, None, random);
            } else if let Some(int) = any(&mut attribute.ints, random) {
                *int = number(random);
            } else if let Some(float) = any(&mut attribute.floats, random) {
                *float = random.pick(FLOATS);
            } else if attribute.i.is_some() {
                attribute.i = Some(number(random));
            } else {
                attribute.f = attribute.f.map(|_| random.pick(FLOATS));
            }
        }
    }
}

fn change_tensor(tensor: &mut TensorProto, random: &mut Random) {
    match random.below(6) {
        0 => tensor.data_type = Some(random.below(24) as i32),
        1 => tensor.dims.push(number(random)),
        2 => drop(tensor.dims.pop()),
        3 => tensor.raw_data = Some(random.next().to_le_bytes()[..random.below(9)].to_vec().into()),
        4 => tensor.int64_data.push(number(random)),
        _ => {
            if let Some(size) = any(&mut tensor.dims, random) {
                *size = number(random);
            }
        }
    }
}

fn change_value(value: &mut ValueInfoProto, random: &mut Random) {
    let Some(tensor) = value.r#type.as_mut().and_then(|kind| kind.tensor_type.as_mut()) else {
        return;
    };
    let Some(shape) = &mut tensor.shape else { return };
    match random.below(4) {
        0 => tensor.elem_type = Some(random.below(24) as i32),
        1 => shape.dim.push(DimensionProto {
            value: Some(DimensionValue::Value(number(random))),
        }),
        2 => drop(shape.dim.pop()),
        _ => {
            if let Some(dim) = any(&mut shape.dim, random) {
                dim.value = match random.below(6) {
                    0 => None,
                    1 => Some(DimensionValue::Param("n".to_owned())),
                    _ => Some(DimensionValue::Value(number(random))),
                };
            }
        }
    }
}

fn change_node(node: &mut NodeProto, names: &[String], stock: Option<&Stock>, random: &mut Random) {
    match random.below(10) {
        0 => drop(node.input.pop()),
        1 => node.input.push(names[random.below(names.len())].clone()),
        2 => drop(node.output.pop()),
        3 => node.output.push(format!("more_{}", random.below(3))),
        4 => {
            if let Some(stock) = stock {
                node.op_type = Some(stock.operators[random.below(stock.operators.len())].clone());
            }
        }
        5 => {
            if let Some(stock) = stock {
                let more = stock.attributes[random.below(stock.attributes.len())].clone();
                node.attribute.retain(|attribute| attribute.name != more.name);
                node.attribute.push(more);
            }
        }
        6 if !node.attribute.is_empty() => {
            drop(node.attribute.remove(random.below(node.attribute.len())));
        }
        7 => {
            if let Some(input) = any(&mut node.input, random) {
                *input = match random.below(4) {
                    0 => String::new(),
                    _ => names[random.below(names.len())].clone(),
                };
            }
        }
        _ => {
            if let Some(attribute) = any(&mut node.attribute, random) {
                change_attribute(attribute, random);
            }
        }
    }
}

fn change_graph(graph: &mut GraphProto, stock: Option<&Stock>, random: &mut Random) {
    let mut names: Vec<String> = graph
        .node
        .iter()
        .flat_map(|node| node.input.iter().chain(&node.output).cloned())
        .collect();
    names.push("nobody".to_owned());
    match random.below(12) {
        0 => {
            if let Some(value) = any(&mut graph.output, random) {
                change_value(value, random);
            }
        }
        1 => {
            if let Some(tensor) = any(&mut graph.initializer, random) {
                change_tensor(tensor, random);
            }
        }
        2 | 3 => {
            if let Some(value) = any(&mut graph.input, random) {
                change_value(value, random);
            }
        }
        4 if !graph.node.is_empty() => {
            let (from, to) = (random.below(graph.node.len()), random.below(graph.node.len()));
            graph.node.swap(from, to);
        }
        5 if !graph.node.is_empty() => {
            let again = graph.node[random.below(graph.node.len())].clone();
            graph.node.push(again);
        }
        _ => {
            if let Some(node) = any(&mut graph.node, random) {
                change_node(node, &names, stock, random);
            }
        }
    }
}

/// Weights with a number of 64, 32 or 8 bits in place of another, or cut off.
fn change_weights(weights: &mut Vec<u8>, random: &mut Random) {
    if weights.is_empty() {
        return;
    }
    let at = random.below(weights.len());
    let (size, bytes) = match random.below(4) {
        0 => (4, random.pick(FLOATS).to_le_bytes().to_vec()),
        1 => (1, vec![random.next() as u8]),
        2 => return weights.truncate(at),
        _ => (8, number(random).to_le_bytes().to_vec()),
    };
    let at = at / size * size;
    if let Some(slot) = weights.get_mut(at..at + size) {
        slot.copy_from_slice(&bytes);
    }
}

#[test]
fn changed_structures_are_accepted_or_refused() {
    let seeds: u64 = std::env::var("SYNOD_ONNX_MUTATIONS")
        .map_or(64, |text| text.parse().expect("SYNOD_ONNX_MUTATIONS is a number"));
    let fixtures = fixtures();
    assert!(fixtures.len() > 200, "{} files are there", fixtures.len());
    let stock = Stock::of(&fixtures);
    let mut imported = 0;
    for fixture in &fixtures {
        for seed in 0..seeds {
            let mut random = Random(seed);
            let (mut model, mut weights) = (fixture.model.clone(), fixture.weights.to_vec());
            for _ in 0..1 + random.below(3) {
                match random.below(8) {
                    0 => change_weights(&mut weights, &mut random),
                    1 if random.below(4) == 0 => {
                        if let Some(opset) = any(&mut model.opset_import, &mut random) {
                            opset.version = Some(random.below(30) as i64);
                        }
                    }
                    _ => {
                        if let Some(graph) = &mut model.graph {
                            change_graph(graph, Some(&stock), &mut random);
                        }
                    }
                }
            }
            let beside: BTreeMap<String, Bytes> = [(WEIGHTS_FILE.to_owned(), weights.into())].into();
            let file = model.encode_to_vec();
            let result = std::panic::catch_unwind(|| import_beside(&file, &beside));
            let Ok(imports) = result else {
                panic!("{}, seed {seed}", fixture.name);
            };
            imported += u64::from(imports);
        }
    }
    // mutations that are all refused would test the refusals alone
    let all = fixtures.len() as u64 * seeds;
    assert!(imported > all / 8, "{imported} of {all} were imported");
    assert_memory_stayed_small();
}
