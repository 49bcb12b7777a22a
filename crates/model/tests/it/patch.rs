//! Patches: edits, proofs, and that what they make of a steady model is a model.
#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

use crate::build::{random::Random, *};
use bytes::Bytes;
use proptest::prelude::*;
use synod_model::{
    limits::PROFILE_VERSION,
    patch::{Edit, Edits, EditsError, LeafProof, Leaves, ProofError, WeightMap, WeightsError},
    *,
};

fn canonical(file: OnnxFile) -> CanonicalModel {
    import_onnx(&file.encode(), &NoExternalData, &ImportOptions::default()).unwrap()
}

/// `y = where(mask, x·W + B, H)`: tensors of four types, of more and fewer bytes than a leaf has.
fn network(random: &mut Random, rows: usize, columns: usize) -> CanonicalModel {
    let half: Vec<u8> = (0..columns)
        .flat_map(|i| (i as u16 + 0x3c00).to_le_bytes())
        .collect();
    let mask: Vec<u8> = (0..columns).map(|i| (i % 2) as u8).collect();
    canonical(
        OnnxFile::new(13)
            .input("x", FLOAT, &["1", &rows.to_string()])
            .floats(
                "W",
                &[rows as i64, columns as i64],
                &random.floats(rows * columns),
            )
            .floats("B", &[columns as i64], &random.floats(columns))
            .initializer("H", 10, &[columns as i64], &half)
            .initializer("M", BOOL, &[columns as i64], &mask)
            .node("MatMul", &["x", "W"], &["p"])
            .node("Add", &["p", "B"], &["s"])
            .node_with("Cast", &["H"], &["h"], &[attr_int("to", 1)])
            .node("Where", &["M", "s", "h"], &["y"])
            .output("y", FLOAT),
    )
}

/// What the chain does: everything from edits, proof, and the leaves that are touched.
fn patched(
    base: &CanonicalModel,
    edits: &Edits,
    proof: &LeafProof,
) -> Result<(ModelId, ModelId), ProofError> {
    let mut leaves = Leaves::touched_by(edits);
    // in pieces of odd lengths, as chunks may be
    for (piece, part) in base.weights.chunks(5003).enumerate() {
        leaves.fill(piece as u64 * 5003, part);
    }
    let before = leaves.hashes();
    leaves.apply(edits);
    let (old, new) = proof.roots(&leaves, &before, &leaves.hashes())?;
    let graph = (base.graph.len() as u64, merkle_root(&base.graph));
    let id = |root| ModelId::of_roots(PROFILE_VERSION, graph, (base.weights.len() as u64, root));
    Ok((id(old), id(new)))
}

fn with_weights(base: &CanonicalModel, weights: Vec<u8>) -> CanonicalModel {
    CanonicalModel {
        graph: base.graph.clone(),
        weights: weights.into(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_patch_gives_the_id_of_the_same_bytes_published_afresh(
        seed in any::<u64>(),
        rows in 1usize..90,
        columns in 1usize..90,
        changes in 1usize..60,
    ) {
        let mut random = Random(seed);
        let base = network(&mut random, rows, columns);
        let map = WeightMap::read(base.graph.clone()).unwrap();
        let floats = map.ranges().next().unwrap();
        let mut weights = base.weights.to_vec();
        for _ in 0..changes {
            let element = floats.start + 4 * random.below(floats.len() / 4);
            weights[element..element + 4].copy_from_slice(&random.float().to_le_bytes());
        }
        let next = with_weights(&base, weights);
        let Some(edits) = Edits::between(&map, &base.weights, &next.weights) else {
            prop_assert_eq!(base.id(), next.id());
            return Ok(());
        };
        prop_assert!(edits.encoded().len() <= changes * 11, "{} bytes", edits.encoded().len());
        prop_assert_eq!(Edits::decode(edits.encoded().clone(), edits.weights()), Ok(edits.clone()));
        let mut applied = base.weights.to_vec();
        edits.apply(&mut applied);
        prop_assert_eq!(&applied, &next.weights);

        let proof = LeafProof::of(&base.weights, &edits);
        prop_assert_eq!(LeafProof::decode(&proof.encode()), Ok(proof.clone()));
        prop_assert_eq!(patched(&base, &edits, &proof), Ok((base.id(), next.id())));
        prop_assert_eq!(Model::load(next.graph.clone(), next.weights.clone()).unwrap().id(), next.id());

        // Another proof is no proof: too short, too long, or of another tree.
        let bytes = proof.encode();
        prop_assert_eq!(
            patched(&base, &edits, &LeafProof::decode(&[&bytes[..], &[0; 32]].concat()).unwrap()),
            Err(ProofError::Count { got: bytes.len() / 32 + 1 })
        );
        if !bytes.is_empty() {
            prop_assert!(patched(&base, &edits, &LeafProof::decode(&bytes[32..]).unwrap()).is_err());
            let mut other = bytes;
            let at = random.below(other.len());
            other[at] ^= 1;
            let (old, _) = patched(&base, &edits, &LeafProof::decode(&other).unwrap()).unwrap();
            prop_assert_ne!(old, base.id());
        }
    }

    #[test]
    fn reading_edits_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..200), weights in 0u64..20_000) {
        let Ok(edits) = Edits::decode(bytes.into(), weights) else { return Ok(()) };
        let (mut end, mut count) = (0, 0);
        for edit in edits.iter() {
            prop_assert!(edit.offset >= end && !edit.bytes.is_empty());
            (end, count) = (edit.range().end, count + 1);
        }
        prop_assert!(end <= weights);
        prop_assert_eq!(count, edits.count());
        let leaves: Vec<u64> = edits.leaves().collect();
        prop_assert!(leaves.is_sorted_by(|a, b| a < b));
        prop_assert_eq!(Leaves::touched_by(&edits).iter().map(|(leaf, _)| leaf).collect::<Vec<_>>(), leaves);
    }
}

#[test]
fn edits_apply_to_leaves_as_to_the_whole() {
    let mut random = Random(7);
    let weights: Vec<u8> = (0..50_000).map(|_| random.below(256) as u8).collect();
    for _ in 0..200 {
        // edits that span leaves, begin and end at their borders, or touch one
        let (mut encoded, mut at) = (Vec::new(), 0);
        for _ in 0..1 + random.below(6) {
            let (gap, length) = (random.below(9000), 1 + random.below(9000));
            if at + gap + length > weights.len() {
                break;
            }
            encoded.extend(varint(gap as u64));
            encoded.extend(varint(length as u64));
            encoded.extend((0..length).map(|_| random.below(256) as u8));
            at += gap + length;
        }
        let Ok(edits) = Edits::decode(encoded.into(), weights.len() as u64) else {
            continue;
        };
        let mut leaves = Leaves::touched_by(&edits);
        leaves.fill(0, &weights);
        for (leaf, bytes) in leaves.iter() {
            assert_eq!(bytes, weights.chunks(LEAF_BYTES).nth(leaf as usize).unwrap());
        }
        let before = leaves.hashes();
        leaves.apply(&edits);
        let mut whole = weights.clone();
        edits.apply(&mut whole);
        for (leaf, bytes) in leaves.iter() {
            assert_eq!(bytes, whole.chunks(LEAF_BYTES).nth(leaf as usize).unwrap());
        }
        let roots = LeafProof::of(&weights, &edits).roots(&leaves, &before, &leaves.hashes());
        assert_eq!(roots, Ok((merkle_root(&weights), merkle_root(&whole))));
    }
}

#[test]
fn what_is_no_edit_is_refused() {
    let decode = |bytes: &[u8]| Edits::decode(Bytes::copy_from_slice(bytes), 100).unwrap_err();
    assert_eq!(decode(&[]), EditsError::Empty);
    assert_eq!(decode(&[0x80]), EditsError::Number { at: 0 });
    assert_eq!(
        decode(&[0; 2]),
        EditsError::Length {
            at: 0,
            length: 0,
            left: 0
        }
    );
    assert_eq!(
        decode(&[0, 2, 7]),
        EditsError::Length {
            at: 0,
            length: 2,
            left: 1
        }
    );
    assert_eq!(decode(&[99, 2, 7, 7]), EditsError::Range { at: 0, weights: 100 });
    assert_eq!(
        decode(&[98, 2, 7, 7, 0, 1, 7]),
        EditsError::Range { at: 4, weights: 100 }
    );
    let huge = [&[0xff; 9][..], &[1, 1, 7]].concat();
    assert_eq!(decode(&huge), EditsError::Range { at: 0, weights: 100 });
    assert!(Edits::decode(Bytes::from_static(&[98, 2, 7, 7]), 100).is_ok());
}

#[test]
fn edits_stay_within_a_tensor_and_leave_canonical_elements() {
    let base = network(&mut Random(1), 9, 33);
    let map = WeightMap::read(base.graph.clone()).unwrap();
    let ranges: Vec<_> = map.ranges().collect();
    assert_eq!(ranges.len(), 4);
    let check = |offset: usize, bytes: &[u8]| {
        let encoded = [varint(offset as u64), varint(bytes.len() as u64), bytes.to_vec()].concat();
        let edits = Edits::decode(encoded.into(), base.weights.len() as u64).unwrap();
        let mut leaves = Leaves::touched_by(&edits);
        leaves.fill(0, &base.weights);
        leaves.apply(&edits);
        let edit: Edit<'_> = edits.iter().next().unwrap();
        map.check(&edit, &leaves)
    };
    let (floats, half, bools) = (&ranges[0], &ranges[2], &ranges[3]);
    assert_eq!(check(floats.start, &1f32.to_le_bytes()), Ok(()));
    assert_eq!(check(floats.end - 1, &[0x40]), Ok(()));
    for (offset, length) in [(floats.end - 1, 2), (floats.end, 1), (base.weights.len() - 1, 1)] {
        let expected = WeightsError::OutsideTensors {
            offset: offset as u64,
            length,
        };
        let found = check(offset, &vec![0; length]);
        if offset < base.weights.len() - 1 {
            assert_eq!(found, Err(expected));
        } else {
            assert_eq!(found, Ok(()), "the last byte is the last tensor's");
        }
    }
    assert_eq!(check(floats.start, &f32::NAN.to_le_bytes()), Ok(()));
    let signalling = 0x7fa0_0000u32.to_le_bytes();
    let refused =
        |dtype| move |error| matches!(error, WeightsError::NotCanonical { dtype: got, .. } if got == dtype);
    assert!(check(floats.start, &signalling).is_err_and(refused(DType::F32)));
    // one byte may be enough to make a NaN of an element
    let infinity = [&f32::INFINITY.to_le_bytes()[..]].concat();
    assert_eq!(check(floats.start, &infinity), Ok(()));
    assert!(check(floats.start + 3, &[0xff]).is_err() || base.weights[floats.start + 2] & 0x80 == 0);
    assert!(check(half.start, &0x7e01u16.to_le_bytes()).is_err_and(refused(DType::F16)));
    assert_eq!(check(bools.start, &[1]), Ok(()));
    assert!(check(bools.start, &[2]).is_err_and(refused(DType::Bool)));
}

#[test]
fn steady_is_what_no_weight_decides() {
    let load = |file: OnnxFile| {
        let model = canonical(file);
        Model::load(model.graph, model.weights).unwrap()
    };
    let x = |file: OnnxFile| file.input("x", FLOAT, &["1", "2000"]);
    let many = vec![0.5; 2000];
    // weights that are operands alone
    assert!(
        load(
            x(OnnxFile::new(13))
                .floats("w", &[2000], &many)
                .node("Mul", &["x", "w"], &["y"])
                .output("y", FLOAT)
        )
        .is_steady()
    );
    // sizes that lie in the graph do not count
    assert!(
        load(
            x(OnnxFile::new(13))
                .i64s("s", &[2], &[2, 1000])
                .node("Reshape", &["x", "s"], &["y"])
                .output("y", FLOAT)
        )
        .is_steady()
    );
    // a shape follows from weights
    let scales = x(OnnxFile::new(13))
        .floats("scales", &[2], &[1.0, 0.5])
        .node("Resize", &["x", "", "scales"], &["y"])
        .output("y", FLOAT);
    assert!(!load(scales).is_steady());
    // planning computes with them, and might fail with others
    let folded = x(OnnxFile::new(13))
        .floats("a", &[1], &[4.0])
        .node_with("Cast", &["a"], &["size"], &[attr_int("to", 7)])
        .node("Expand", &["x", "size"], &["y"])
        .output_of("y", FLOAT, &["4", "2000"]);
    let folded = import_onnx(&folded.encode(), &NoExternalData, &ImportOptions::default());
    if let Ok(model) = folded {
        assert!(!Model::load(model.graph, model.weights).unwrap().is_steady());
    }
    let indices: Vec<u8> = (0..65i64).flat_map(|i| i.to_le_bytes()).collect();
    let gathered = x(OnnxFile::new(13))
        .initializer("table", INT64, &[65], &indices)
        .i64s("zero", &[1], &[0])
        .node("Gather", &["table", "zero"], &["first"])
        .node_with("Gather", &["x", "first"], &["y"], &[attr_int("axis", 1)])
        .output("y", FLOAT);
    assert!(!load(gathered).is_steady(), "an index that planning looks up");
}
