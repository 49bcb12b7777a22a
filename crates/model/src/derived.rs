//! Values that follow from a model's constants alone, by operators that only move data: weights that an exporter cuts and joins
//! (the gates of an LSTM), turns or gives another shape.
//!
//! They are made once when a model is loaded, so that a run need not make them again and kernels arrange them as they do other
//! weights. Only the fast path knows of it: what a plan states, and what it charges, stays that of the nodes. Together they take no
//! more bytes than the constants, so that loading pays for them.

use crate::{
    analysis::{fold, operands},
    constant::Constant,
    model::{Block, Node, ValueId},
    ops::{Flow, Inputs, TensorType},
};
use std::{collections::BTreeMap, sync::Arc};

use crate::analysis::Value;

/// The values, by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Derived(BTreeMap<ValueId, Arc<Constant>>);

impl Derived {
    /// Looks for them in a graph with so many inputs, which its constants follow.
    pub(crate) fn new(block: &Block, inputs: usize, constants: &[Arc<Constant>]) -> Self {
        let bytes = |constant: &Arc<Constant>| constant.bytes();
        let mut left: usize = constants.iter().map(bytes).sum();
        // what is not known here is never read
        let unknown = || {
            Value::Computed(TensorType {
                dtype: crate::DType::Bool,
                shape: Vec::new(),
            })
        };
        let mut values: Vec<Value> = (0..block.values).map(|_| unknown()).collect();
        for (value, constant) in values[inputs..].iter_mut().zip(constants) {
            *value = Value::Known(constant.clone());
        }
        let mut derived = BTreeMap::new();
        for node in &block.nodes {
            for (value, constant) in evaluate(node, &values, &mut left).unwrap_or_default() {
                values[value] = Value::Known(constant.clone());
                derived.insert(value, constant);
            }
        }
        Self(derived)
    }

    /// A value, if it is one of these.
    pub(crate) fn get(&self, value: ValueId) -> Option<&Arc<Constant>> {
        self.0.get(&value)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ValueId, &Arc<Constant>)> {
        self.0.iter().map(|(&value, constant)| (value, constant))
    }

    /// Bytes that they take.
    pub(crate) fn bytes(&self) -> usize {
        self.0.values().map(|constant| constant.bytes()).sum()
    }
}

/// The outputs of a node that only moves known values, as long as there are bytes left for them.
fn evaluate(node: &Node, values: &[Value], left: &mut usize) -> Option<Vec<(ValueId, Arc<Constant>)>> {
    let moves = node.operator.is_view() || node.operator.moves_data();
    let known = node
        .inputs
        .iter()
        .flatten()
        .all(|&value| values[value].is_known());
    if !moves || !known || !matches!(node.operator.flow(), Flow::Plain) {
        return None;
    }
    let operands = operands(node, values);
    let inputs = Inputs(&operands);
    // a node that does not fit is refused by whoever plans it
    let outputs = node.operator.infer(&inputs).ok()?;
    let bytes = outputs
        .iter()
        .map(TensorType::bytes)
        .fold(0, usize::saturating_add);
    *left = left.checked_sub(bytes)?;
    let tensors = fold(node, &inputs, &outputs).ok()?;
    let wanted = node.outputs.iter().zip(tensors);
    Some(
        wanted
            .filter_map(|(value, tensor)| Some(((*value)?, Arc::new(Constant::new(tensor)))))
            .collect(),
    )
}
