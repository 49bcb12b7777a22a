//! Any node of any operator, drawn at random: with attributes that fit and that do not, inputs of all types, shapes and
//! sizes (none at all included), constants and variables, special values. Most are refused; none may panic, and what runs
//! must give the same bits on both arithmetics, and no NaN but the canonical one.

use crate::build::{
    nodes::{self, Required},
    random::Random,
    shaped, *,
};
use crate::fuzzing;
use std::{collections::BTreeMap, fs, path::Path};
use synod_model::{
    ops::{AttributeError, OpError},
    *,
};

/// Nodes drawn of each operator.
const NODES_EACH: u64 = 3000;

/// A file with any node of the operator.
fn any_node(definition: &ops::Definition, required: &Required, random: &mut Random) -> OnnxFile {
    if random.below(4) > 0
        && let Some(drawn) = shaped::draw(definition.name, random)
    {
        let file = OnnxFile::new(limits::MAX_OPSET);
        return nodes::shaped_node(file, "", definition, &drawn, random);
    }
    let opset = if random.below(2) == 0 {
        limits::MAX_OPSET
    } else {
        7 + random.below(21) as i64
    };
    nodes::blind_node(OnnxFile::new(opset), "", definition, required, random)
}

#[test]
fn no_node_of_any_operator_panics_and_both_arithmetics_agree() {
    let mut required = Required::new();
    let mut ran: BTreeMap<&str, usize> = ops::OPERATORS.iter().map(|op| (op.name, 0)).collect();
    for seed in 0..ops::OPERATORS.len() as u64 * NODES_EACH {
        let mut random = Random(seed);
        let definition = ops::OPERATORS[(seed / NODES_EACH) as usize];
        let name = definition.name;
        let file = any_node(definition, &required, &mut random);
        let model = match nodes::import_with_right_types(&file) {
            Ok(canonical) => Model::load(canonical.graph, canonical.weights).expect("what imports loads"),
            Err(ImportError::Node {
                error: OpError::Attribute(AttributeError::Missing { name: attribute }),
                ..
            }) => {
                let known = required.entry(name).or_default();
                if !known.contains(&attribute) {
                    known.push(attribute);
                }
                continue;
            }
            Err(_) => continue,
        };
        let outputs = fuzzing::run_on(&model, |input, shape| {
            let bytes = nodes::elements(input.dtype, shape.iter().product(), &mut random);
            Tensor::from_le_bytes(input.dtype, shape, &bytes).expect("the length is right")
        });
        if let Some(outputs) = outputs {
            *ran.entry(name).or_default() += 1;
            for output in outputs {
                let bytes = output.to_le_bytes();
                let again = Tensor::from_le_bytes(output.dtype(), output.shape(), &bytes)
                    .expect("a tensor's bytes are one");
                assert_eq!(
                    again.to_le_bytes(),
                    bytes,
                    "seed {seed}: {name} gives another NaN than the canonical one"
                );
            }
        }
    }
    let never: Vec<_> = ran.iter().filter(|(_, count)| **count == 0).collect();
    assert!(
        never.is_empty(),
        "no random node of these was valid, so nothing was tried: {never:?}"
    );
}

/// `docs/operators.md` is written by this test (`SYNOD_UPDATE_OPERATORS=1`), so it cannot tell anything else than the table.
#[test]
fn the_list_of_operators_is_the_table() {
    let mut text = String::from(
        "# Operators\n\n\
         What the profile has, with the ONNX versions at which each operator changed: a model of any opset from 7 on uses the newest that its\n\
         opset knows. [arithmetic.md](spec/arithmetic.md) defines each to the bit, [work.md](spec/work.md) its cost. What is not here is refused at import, with\n\
         the node and the reason; [not-run.txt](../testing/onnx-node-tests/not-run.txt) counts ONNX's own tests that it leaves out. Element types\n\
         are f32, f64, f16, bf16, bool and integers of 8 to 64 bits. `SYNOD_UPDATE_OPERATORS=1 cargo test -p synod-model --test it operators` writes this page.\n",
    );
    for domain in ops::DOMAINS {
        let name = if domain.name.is_empty() {
            "ai.onnx"
        } else {
            domain.name
        };
        text += &format!(
            "\n## `{name}`: {}\n\n| operator | versions |\n|---|---|\n",
            domain.operators.len()
        );
        for definition in domain.operators {
            let versions: Vec<_> = definition.since.iter().map(i64::to_string).collect();
            text += &format!("| {} | {} |\n", definition.name, versions.join(" "));
        }
    }
    let fused = microsoft_operators();
    text += &format!(
        "\n## `com.microsoft`: {}\n\n\
         ONNX Runtime's quantiser, optimiser and model builders write these into files (SimplifiedLayerNormalization, and LayerNormalization before opset 17, in ONNX's domain). The import\n\
         replaces each by what it stands for in the operators above, so that what is published has ONNX's alone, and refuses forms that it does not know\n\
         with the node and the reason. Sums in another order may move a byte by a step from what ONNX Runtime gives; weights of a few bits are dequantised,\n\
         also where ONNX Runtime computes with bytes instead (`accuracy_level` 4). A mask of attention whose rows have two numbers or more is not supported,\n\
         nor are caches of bytes, and keys of four dimensions need a declared rank.\n\n{}.\n",
        fused.len(),
        fused.join(", ")
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operators.md");
    if std::env::var_os("SYNOD_UPDATE_OPERATORS").is_some() {
        fs::write(&path, &text).expect("the page can be written");
    }
    let page = fs::read_to_string(&path).expect("the page is there");
    assert!(
        page == text,
        "docs/operators.md is older than the table: write it with SYNOD_UPDATE_OPERATORS=1"
    );
}
