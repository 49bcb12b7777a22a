//! The gas schedule: one place, one rate.
//!
//! **The rate.** One gas is 10 ns on the reference machine, 100 Mgas/s, for every operator, shape and size. A price that
//! undercuts its time lets one transaction stall every validator, so each constant is the measured worst case of what
//! it pays for, rounded towards the caller paying more. `cargo xtask calibrate` measures them again and writes
//! `docs/gas-calibration.md`.
//!
//! **The rules.** A charge comes before the work it pays for. A charge follows from consensus data alone: call data,
//! sizes in a record, shapes, the graph. It never depends on a cache, on EIP-2929 warmth or on time. Sums saturate, and a
//! saturated sum is out of gas under any limit.

use synod_model::{Cost, Work};

/// Entering the precompile: dispatch, the engine's locks, the answer's allocation.
pub const BASE: u64 = 500;

/// Each word of call data, which is read at least once (as the identity precompile asks).
pub const CALL_DATA_WORD: u64 = 3;

/// Each word of an answer.
pub const ANSWER_WORD: u64 = 3;

/// The registry's account, as a cold one (EIP-2929), whether it is or not.
pub const REGISTRY_ACCOUNT: u64 = 2_600;

/// A slot of the registry, as a cold one (EIP-2929), whether it is or not.
pub const REGISTRY_SLOT: u64 = 2_100;

/// Reading and hashing a name.
pub const NAME: u64 = 100;

/// Fetching an account with a manifest or a chunk from the database.
pub const CHUNK_ACCOUNT: u64 = 2_600;

/// An input or output of a model: its shape is derived and checked, its tensor made.
pub const PORT: u64 = 40;

/// Bytes of weights that are fetched, joined, hashed, checked and brought into the kernels' order for one gas.
pub const LOAD_WEIGHT_BYTES_PER_GAS: u64 = 5;

/// Parsing, checking and compiling a byte of graph.
pub const LOAD_GRAPH_BYTE: u64 = 20;

/// Bytes of a chunk that `validate` hashes twice (address, Merkle leaf) for one gas, beside loading them.
pub const VALIDATE_BYTES_PER_GAS: u64 = 4;

/// A byte of a patch: it is fetched, read and copied over the weights. The shortest edit has three.
pub const PATCH_BYTE: u64 = 1;

/// An edit whose place and elements are checked.
pub const EDIT: u64 = 30;

/// A leaf that a patch touches: it is cut out of the base's chunks, edited and hashed before and after.
pub const PATCH_LEAF: u64 = 1_000;

/// A node of the weights' Merkle tree that is computed before and after.
pub const PATCH_NODE: u64 = 30;

/// A byte of graph that is hashed and read for where tensors lie.
pub const PATCH_GRAPH_BYTE: u64 = 2;

/// A byte of a pipeline's description: JSON, read and written again to compare.
pub const DESCRIPTION_BYTE: u64 = 10;

/// A tokenizer, whatever it is, when it is loaded (`synod_text::work::load`).
pub const TOKENIZER: u64 = 2_000_000;

/// A byte of a tokenizer's file when it is loaded.
pub const TOKENIZER_BYTE: u64 = 15;

/// Nanoseconds of one gas: what works on texts and pictures states its bounds in them.
pub const NANOSECONDS_PER_GAS: u64 = 10;

/// Patches that may lie between a model and one whose bytes are all on the chain.
pub const MAX_PATCHES: u8 = 32;

/// Specialising a model for given shapes, before any node is looked at.
pub const PLAN_BASE: u64 = 500;

/// Starting a node: dispatch and its buffers.
pub const NODE: u64 = 70;

/// Multiply-add equivalents for one gas. One equivalent is one lane of a packed f32 fused multiply-add.
pub const MACS_PER_GAS: u64 = 150;

/// Bytes that operators stream from and to memory for one gas.
pub const BYTES_PER_GAS: u64 = 100;

/// Bytes of tensors alive at once for one gas: they are mapped, zeroed and touched.
pub const MEMORY_BYTES_PER_GAS: u64 = 24;

/// Bytes of tensors that may be alive at once. Eight validators' blocks in flight fit a small server.
pub const MAX_PEAK_MEMORY: u64 = 1 << 30;

/// Bytes of packed elements that are checked for NaN, infinity and false booleans and byte-swapped for one gas.
pub const ELEMENT_BYTES_PER_GAS: u64 = 10;

/// A fixed-point value on its way in or out: a division or multiplication of 512 bits.
pub const FIXED_VALUE: u64 = 40;

/// What is left of a budget, and what was used.
///
/// Two limits may stop a call: the gas that was passed, whose end halts the frame, and the caller's own `maxGas`, whose end
/// is a revert that costs what was used.
#[derive(Debug, Clone)]
pub struct GasMeter {
    used: u64,
    limit: u64,
    max_gas: Option<u64>,
}

/// A charge that a budget does not cover. Nothing was charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exhausted {
    /// The gas that was passed is not enough: the frame halts and burns it.
    OutOfGas,
    /// The caller's own limit is not enough: a typed revert.
    MaxGas {
        /// The limit.
        max_gas: u64,
        /// What was charged before.
        used: u64,
    },
}

impl GasMeter {
    /// A meter for a call that was given `limit` gas.
    pub fn new(limit: u64) -> Self {
        Self {
            used: 0,
            limit,
            max_gas: None,
        }
    }

    /// Sets the caller's own limit on everything this meter charges.
    pub fn set_max_gas(&mut self, max_gas: u64) {
        self.max_gas = Some(max_gas);
    }

    /// Gas charged so far.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// Charges `gas`, or nothing if it is not there.
    ///
    /// # Errors
    /// If a budget does not cover it. Of two exhausted budgets the smaller one counts; of equal ones the caller's.
    pub fn charge(&mut self, gas: u64) -> Result<(), Exhausted> {
        let total = self.used.saturating_add(gas);
        match self.max_gas {
            Some(max_gas) if max_gas <= self.limit => {
                if total > max_gas {
                    return Err(Exhausted::MaxGas {
                        max_gas,
                        used: self.used,
                    });
                }
            }
            _ => {
                if total > self.limit || total == u64::MAX {
                    return Err(Exhausted::OutOfGas);
                }
            }
        }
        self.used = total;
        Ok(())
    }
}

/// Entering the precompile with this much call data (selector included).
pub fn call(call_data: usize) -> u64 {
    BASE + CALL_DATA_WORD * words(call_data)
}

/// Answering with this many bytes.
pub fn answer(bytes: usize) -> u64 {
    ANSWER_WORD * words(bytes)
}

/// Reading `slots` slots of the registry.
pub fn registry(slots: u64) -> u64 {
    REGISTRY_ACCOUNT + REGISTRY_SLOT * slots
}

/// Looking at `count` inputs and outputs.
pub fn ports(count: u64) -> u64 {
    count.saturating_mul(PORT)
}

/// Loading a model of these sizes.
pub fn load(graph_bytes: u64, weight_bytes: u64, chunks: u64) -> u64 {
    CHUNK_ACCOUNT
        .saturating_add(chunks.saturating_mul(CHUNK_ACCOUNT))
        .saturating_add(graph_bytes.saturating_mul(LOAD_GRAPH_BYTE))
        .saturating_add(weight_bytes.div_ceil(LOAD_WEIGHT_BYTES_PER_GAS))
}

/// Reading a pipeline's description.
pub fn description(bytes: u64) -> u64 {
    bytes.saturating_mul(DESCRIPTION_BYTE)
}

/// Loading a file that a pipeline names: a tokenizer.
pub fn loading_file(bytes: u64) -> u64 {
    TOKENIZER.saturating_add(bytes.saturating_mul(TOKENIZER_BYTE))
}

/// Loading a pipeline with a description and files of these sizes, that lie in `chunks` accounts beside the manifest's.
pub fn load_pipeline(description_bytes: u64, file_bytes: u64, chunks: u64) -> u64 {
    let files = if file_bytes == 0 {
        0
    } else {
        loading_file(file_bytes)
    };
    CHUNK_ACCOUNT
        .saturating_add(chunks.saturating_mul(CHUNK_ACCOUNT))
        .saturating_add(description(description_bytes))
        .saturating_add(files)
}

/// Work whose bound is stated in nanoseconds.
pub fn nanoseconds(bound: u64) -> u64 {
    bound.div_ceil(NANOSECONDS_PER_GAS)
}

/// Reading patches of so many bytes and copying them over the weights.
pub fn patches(bytes: u64) -> u64 {
    bytes.saturating_mul(PATCH_BYTE)
}

/// Proving what edits make of a base: `accounts` hold it with its own patches of `patch_bytes`.
pub fn prove_patch(
    edits: u64,
    leaves: u64,
    proof: u64,
    accounts: u64,
    graph_bytes: u64,
    patch_bytes: u64,
) -> u64 {
    // of a tree's nodes, one less than there are ends
    let nodes = leaves.saturating_add(proof);
    [
        edits.saturating_mul(EDIT),
        leaves.saturating_mul(PATCH_LEAF),
        nodes.saturating_mul(PATCH_NODE),
        accounts.saturating_mul(CHUNK_ACCOUNT),
        graph_bytes.saturating_mul(PATCH_GRAPH_BYTE),
        patches(patch_bytes),
    ]
    .into_iter()
    .fold(0, u64::saturating_add)
}

/// Checking that bytes are where their address says and what their leaf hashes say.
pub fn validate(bytes: u64) -> u64 {
    bytes.div_ceil(VALIDATE_BYTES_PER_GAS)
}

/// Planning a model, whose planning work is known from its graph.
pub fn planning(work: &Work) -> u64 {
    PLAN_BASE.saturating_add(roofline(work))
}

/// Planning a node of a later stage.
pub fn plan_node(work: &Work) -> u64 {
    roofline(work)
}

/// The tensors of a plan, or of a later stage.
pub fn memory(peak_bytes: u64) -> u64 {
    peak_bytes.div_ceil(MEMORY_BYTES_PER_GAS)
}

/// One node.
pub fn node(work: &Work) -> u64 {
    NODE.saturating_add(roofline(work))
}

/// A run of a plan whose cost is known, with so many bytes held beside its own; of control flow, every branch.
pub fn run(cost: &Cost, held: u64) -> u64 {
    nodes(cost).saturating_add(memory(cost.peak_memory.saturating_add(held)))
}

/// All nodes of a plan.
fn nodes(cost: &Cost) -> u64 {
    cost.nodes
        .iter()
        .map(|each| node(&each.work).saturating_mul(each.times))
        .fold(0, u64::saturating_add)
}

/// Arithmetic and memory traffic overlap, so the larger one is the time.
fn roofline(work: &Work) -> u64 {
    work.arithmetic
        .div_ceil(MACS_PER_GAS)
        .max(work.bytes.div_ceil(BYTES_PER_GAS))
}

/// Packed elements in or out.
pub fn elements(bytes: u64) -> u64 {
    bytes.div_ceil(ELEMENT_BYTES_PER_GAS)
}

/// Fixed-point values in or out.
pub fn fixed_values(count: u64) -> u64 {
    count.saturating_mul(FIXED_VALUE)
}

fn words(bytes: usize) -> u64 {
    bytes.div_ceil(32) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_charge_charges_nothing() {
        let mut meter = GasMeter::new(100);
        assert_eq!(meter.charge(60), Ok(()));
        assert_eq!(meter.charge(41), Err(Exhausted::OutOfGas));
        assert_eq!(meter.used(), 60);
        assert_eq!(meter.charge(40), Ok(()));
        assert_eq!(meter.charge(u64::MAX), Err(Exhausted::OutOfGas));
    }

    #[test]
    fn the_smaller_limit_counts() {
        for (limit, max_gas, refused) in [
            (
                100,
                50,
                Exhausted::MaxGas {
                    max_gas: 50,
                    used: 30,
                },
            ),
            (
                50,
                50,
                Exhausted::MaxGas {
                    max_gas: 50,
                    used: 30,
                },
            ),
            (50, 100, Exhausted::OutOfGas),
        ] {
            let mut meter = GasMeter::new(limit);
            meter.set_max_gas(max_gas);
            meter.charge(30).unwrap();
            assert_eq!(meter.charge(21), Err(refused));
            assert_eq!(meter.charge(20), Ok(()));
        }
    }

    #[test]
    fn the_specification_lists_these_constants() {
        let specification = include_str!("../../../docs/spec/predict.md");
        for (name, value) in [
            ("BASE", BASE),
            ("CALL_DATA_WORD", CALL_DATA_WORD),
            ("ANSWER_WORD", ANSWER_WORD),
            ("NAME", NAME),
            ("REGISTRY_ACCOUNT", REGISTRY_ACCOUNT),
            ("REGISTRY_SLOT", REGISTRY_SLOT),
            ("CHUNK_ACCOUNT", CHUNK_ACCOUNT),
            ("LOAD_GRAPH_BYTE", LOAD_GRAPH_BYTE),
            ("LOAD_WEIGHT_BYTES_PER_GAS", LOAD_WEIGHT_BYTES_PER_GAS),
            ("VALIDATE_BYTES_PER_GAS", VALIDATE_BYTES_PER_GAS),
            ("PORT", PORT),
            ("PLAN_BASE", PLAN_BASE),
            ("NODE", NODE),
            ("MACS_PER_GAS", MACS_PER_GAS),
            ("BYTES_PER_GAS", BYTES_PER_GAS),
            ("MEMORY_BYTES_PER_GAS", MEMORY_BYTES_PER_GAS),
            ("ELEMENT_BYTES_PER_GAS", ELEMENT_BYTES_PER_GAS),
            ("FIXED_VALUE", FIXED_VALUE),
            ("MAX_PEAK_MEMORY", MAX_PEAK_MEMORY),
            ("DESCRIPTION_BYTE", DESCRIPTION_BYTE),
            ("TOKENIZER", TOKENIZER),
            ("TOKENIZER_BYTE", TOKENIZER_BYTE),
            ("NANOSECONDS_PER_GAS", NANOSECONDS_PER_GAS),
        ] {
            let row = format!("| `{name}` | {value} |");
            assert!(
                specification.contains(&row),
                "docs/spec/predict.md §6 should have the row {row}"
            );
        }
    }

    #[test]
    fn a_tokenizer_costs_what_its_crate_bounds_its_loading_by() {
        for bytes in [0, 1_000, 1 << 20] {
            assert_eq!(
                loading_file(bytes as u64),
                nanoseconds(synod_text::work::load(bytes))
            );
        }
    }

    #[test]
    fn no_sum_wraps() {
        assert_eq!(load(u64::MAX, u64::MAX, u64::MAX), u64::MAX);
        assert_eq!(fixed_values(u64::MAX), u64::MAX);
        let mut meter = GasMeter::new(u64::MAX);
        assert_eq!(meter.charge(u64::MAX), Err(Exhausted::OutOfGas));
    }
}
