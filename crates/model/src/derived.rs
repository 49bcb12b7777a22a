//! Values that follow from a model's constants alone, by operators that only move data: weights that an exporter cuts and joins
//! (the gates of an LSTM), turns or gives another shape.
//!
//! They are made once when a model is loaded, so that a run need not make them again and kernels arrange them as they do other
//! weights. Only the fast path knows of it: what a plan states, and what it charges, stays that of the nodes. Loading pays for them:
//! making them moves at most [`MOVED`] times the bytes of the constants, and what is kept, which is what others than such operators
//! read, takes no more bytes than the constants.

use crate::{
    analysis::{fold, operands},
    constant::Constant,
    model::{Block, Node, ValueId},
    ops::{Flow, Inputs, TensorType},
};
use std::{collections::BTreeMap, sync::Arc};

use crate::analysis::Value;

/// How many times the bytes of the constants are moved at most.
const MOVED: usize = 4;

/// The values, by their numbers; `None` for those that nobody reads any more.
#[derive(Debug, Default)]
pub(crate) struct Derived(BTreeMap<ValueId, Option<Arc<Constant>>>);

impl Derived {
    /// Looks for them in a graph with so many inputs, which its constants follow.
    pub(crate) fn new(block: &Block, inputs: usize, constants: &[Arc<Constant>]) -> Self {
        let bytes = |constant: &Arc<Constant>| constant.bytes();
        let most = constants.iter().map(bytes).fold(0, usize::saturating_add);
        let mut left = most.saturating_mul(MOVED);
        // what is not known here is never read
        let unknown = Arc::new(TensorType {
            dtype: crate::DType::Bool,
            shape: Vec::new(),
        });
        let mut values = vec![Value::Computed(unknown); block.values];
        for (value, constant) in values[inputs..].iter_mut().zip(constants) {
            *value = Value::Known(constant.clone());
        }
        let mut derived = BTreeMap::new();
        let mut read = vec![false; block.values];
        block.outputs.iter().for_each(|&output| read[output] = true);
        for node in &block.nodes {
            let Some(made) = evaluate(node, &values, &mut left) else {
                node.inputs.iter().flatten().for_each(|&input| read[input] = true);
                continue;
            };
            for (value, constant) in made {
                values[value] = Value::Known(constant.clone());
                derived.insert(value, Some(constant));
            }
        }
        for (&value, constant) in &mut derived {
            if !read[value] {
                *constant = None;
            }
        }
        let derived = Self(derived);
        if derived.bytes() > most {
            Self::default()
        } else {
            derived
        }
    }

    /// Whether a value need not be computed.
    pub(crate) fn contains(&self, value: ValueId) -> bool {
        self.0.contains_key(&value)
    }

    /// A value, if it is one of these and somebody reads it.
    pub(crate) fn get(&self, value: ValueId) -> Option<&Arc<Constant>> {
        self.0.get(&value)?.as_ref()
    }

    /// All that somebody reads.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ValueId, &Arc<Constant>)> {
        let kept = self.0.iter();
        kept.filter_map(|(&value, constant)| Some((value, constant.as_ref()?)))
    }

    /// Bytes that they take.
    pub(crate) fn bytes(&self) -> usize {
        let bytes = self.iter().map(|(_, constant)| constant.bytes());
        bytes.fold(0, usize::saturating_add)
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
