//! Any node of any operator, drawn at random: with attributes that fit and that do not, inputs of all types, shapes and
//! sizes (none at all included), constants and variables, special values. Most are refused; none may panic, and what runs
//! must give the same bits on both arithmetics, and no NaN but the canonical one.

mod build;
mod fuzzing;

use build::{
    nodes::{self, Required},
    random::Random,
    shaped, *,
};
use std::collections::BTreeMap;
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
