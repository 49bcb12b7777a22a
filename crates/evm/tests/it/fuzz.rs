//! A bounded, seeded run of random call data; a failing seed is the bug report.
//!
//! `crates/evm/fuzz` tries the same property with cargo-fuzz.

use crate::{
    property::{End, ends_as_specified},
    world::{World, fixed, pack, run},
};
use alloy_primitives::{B256, Bytes, U256};
use alloy_sol_types::SolCall;
use synod_evm::interface::IPredict;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// Valid calls of every function, from which mutations start.
fn corpus(world: &World) -> Vec<Vec<u8>> {
    let model = || "test/batched".to_string();
    let id = world.predict(&IPredict::resolveCall { model: model() });
    let input: Bytes = pack(&[1.0, 2.0]).into();
    let tensor = IPredict::Tensor {
        dtype: 1,
        shape: vec![1, 2],
        data: input.clone(),
    };
    let values = fixed(&[1, 2]);
    let run = run("test/batched", &[1.0, 2.0]).abi_encode();
    vec![
        IPredict::runIdCall {
            id,
            input: input.clone(),
        }
        .abi_encode(),
        IPredict::runTensorsCall {
            model: model(),
            inputs: vec![tensor.clone()],
        }
        .abi_encode(),
        IPredict::runTensorsIdCall {
            id,
            inputs: vec![tensor],
        }
        .abi_encode(),
        IPredict::runFixedCall {
            model: model(),
            values: values.clone(),
            inDecimals: 1,
            outDecimals: 18,
        }
        .abi_encode(),
        IPredict::runFixedIdCall {
            id,
            values: values.clone(),
            inDecimals: 1,
            outDecimals: 18,
        }
        .abi_encode(),
        IPredict::classifyCall {
            model: model(),
            input: input.clone(),
        }
        .abi_encode(),
        IPredict::classifyIdCall {
            id,
            input: input.clone(),
        }
        .abi_encode(),
        IPredict::classifyFixedCall {
            model: model(),
            values: values.clone(),
            decimals: 3,
        }
        .abi_encode(),
        IPredict::runBatchCall {
            model: model(),
            inputs: vec![input.clone(), input.clone()],
        }
        .abi_encode(),
        IPredict::runBatchIdCall {
            id,
            inputs: vec![input.clone()],
        }
        .abi_encode(),
        IPredict::withMaxGasCall {
            maxGas: 1 << 20,
            call: run.clone().into(),
        }
        .abi_encode(),
        IPredict::resolveCall { model: model() }.abi_encode(),
        IPredict::signatureCall { model: model() }.abi_encode(),
        IPredict::signatureIdCall { id }.abi_encode(),
        IPredict::quoteCall { model: model() }.abi_encode(),
        IPredict::quoteIdCall { id }.abi_encode(),
        IPredict::quoteShapesCall {
            model: model(),
            shapes: vec![vec![3, 2]],
        }
        .abi_encode(),
        IPredict::quoteShapesIdCall {
            id,
            shapes: vec![vec![3, 2]],
        }
        .abi_encode(),
        IPredict::validateCall {
            manifest: crate::world::deployments(&crate::world::dense()).0.address(),
        }
        .abi_encode(),
        IPredict::packCall {
            dtype: 10,
            values,
            decimals: 3,
        }
        .abi_encode(),
        IPredict::unpackCall {
            dtype: 11,
            data: vec![1; 16].into(),
            decimals: 3,
        }
        .abi_encode(),
        run,
    ]
}

fn mutate(random: &mut Random, data: &mut Vec<u8>) {
    for _ in 0..=random.below(3) {
        let length = data.len();
        match random.below(7) {
            0 if length > 0 => {
                let at = random.below(length);
                data[at] ^= 1 << random.below(8);
            }
            1 if length > 0 => data.truncate(random.below(length)),
            2 => data.extend(std::iter::repeat_n(random.next() as u8, random.below(70))),
            // A word replaced by an interesting number: offsets, lengths, sizes.
            3 | 4 if length >= 36 => {
                let word = 4 + 32 * random.below((length - 4) / 32);
                let shift = random.below(256);
                let value = [
                    U256::ZERO,
                    U256::ONE,
                    U256::from(random.below(2 * length)),
                    U256::MAX,
                    U256::ONE << shift,
                    U256::from(u64::MAX),
                    U256::from(1u64 << 32),
                ][random.below(7)];
                if word + 32 <= length {
                    data[word..word + 32].copy_from_slice(&value.to_be_bytes::<32>());
                }
            }
            // A word copied over another: overlapping offsets.
            5 if length >= 36 => {
                let words = (length - 4) / 32;
                let (from, to) = (4 + 32 * random.below(words), 4 + 32 * random.below(words));
                data.copy_within(from..from + 32, to);
            }
            _ => data.extend(B256::from(U256::from(random.next())).0),
        }
    }
}

#[test]
fn random_call_data_is_answered_refused_or_out_of_gas() {
    let world = World::with_models();
    let corpus = corpus(&world);
    for call in &corpus {
        assert_ne!(
            ends_as_specified(&world, call.clone().into(), 10_000_000),
            End::OutOfGas
        );
    }
    let mut ends = [0; 3];
    for seed in 0..3_000u64 {
        let mut random = Random(seed);
        let mut data = corpus[random.below(corpus.len())].clone();
        mutate(&mut random, &mut data);
        let gas = [10_000, 80_000, 1_000_000][random.below(3)];
        ends[ends_as_specified(&world, data.into(), gas) as usize] += 1;
    }
    assert!(
        ends.iter().all(|&count| count > 100),
        "the three ends are not all tried: {ends:?}"
    );
}
