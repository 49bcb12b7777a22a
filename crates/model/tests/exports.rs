//! Networks as PyTorch's two exporters write them, against what ONNX Runtime says of them.
//!
//! `testing/exports/` has the graphs; weights are recipes (`uniform SEED LOW HIGH` in place of a file's name) that
//! `testing/exports/fixture.py` describes, so that a network of a hundred megabytes is a fixture of some kilobytes.
//! `cargo xtask regen` exports them again; `SYNOD_EXPORTS` names a folder of others, as `export_torch.py FOLDER all` makes them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod peer;

use bytes::Bytes;
use peer::{Call, Case, Difference, Tolerance, arguments, compare};
use std::{
    fs,
    path::{Path, PathBuf},
};
use synod_model::*;
use synod_numerics::pool::set_threads;

/// What another order of summation costs through some tens of layers.
const TOLERANCE: Tolerance = Tolerance {
    relative: 1e-4,
    of_largest: 3e-5,
    absolute: 0.0,
};

/// The scalar reference runs the networks that take at most so many multiply-adds: more would take minutes.
const REFERENCE_MULTIPLY_ADDS: u64 = 100_000_000;

/// The networks that must be there.
const NETWORKS: usize = 24;

/// Makes tensors from recipes.
struct Recipes;

impl ExternalData for Recipes {
    fn read(&self, location: &str, offset: u64, length: usize) -> Result<Bytes, ExternalDataError> {
        assert_eq!(offset, 0, "a recipe makes one tensor");
        Ok(uniform(location, length / 4)
            .into_iter()
            .flat_map(f32::to_le_bytes)
            .collect())
    }
}

/// The elements of a recipe.
fn uniform(recipe: &str, count: usize) -> Vec<f32> {
    let mut words = recipe.split_whitespace();
    assert_eq!(words.next(), Some("uniform"), "{recipe}");
    let seed: u64 = words.next().unwrap().parse().unwrap();
    // Written as f64, which holds every f32.
    let mut bound = || words.next().unwrap().parse::<f64>().unwrap() as f32;
    let (low, high) = (bound(), bound());
    (0..count as u64)
        .map(|index| {
            let mut state = seed.wrapping_add(index).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            state ^= state >> 31;
            let unit = (state >> 40) as f32 * 2f32.powi(-24);
            low + (high - low) * unit
        })
        .collect()
}

/// An input that is given as a name with a shape, and a recipe.
fn drawn_input(text: &str) -> (String, Tensor) {
    let (head, recipe) = text.split_once('\n').unwrap();
    let mut words = head.split(' ');
    let name = words.next().unwrap().to_owned();
    let shape: Vec<usize> = words.map(|size| size.parse().unwrap()).collect();
    let values = uniform(recipe, shape.iter().product());
    (name, Tensor::from_slice(DType::F32, &shape, &values).unwrap())
}

fn read(folder: &Path) -> Case {
    let stored = |name: String| {
        let bytes = fs::read(folder.join(name)).ok()?;
        Some(decode_tensor_proto(&bytes).unwrap())
    };
    let input = |place: usize| {
        let recipe = fs::read_to_string(folder.join(format!("input_{place}.txt")));
        recipe
            .ok()
            .map(|text| drawn_input(&text))
            .or_else(|| stored(format!("input_{place}.pb")))
    };
    Case {
        name: folder.file_name().unwrap().to_string_lossy().into_owned(),
        file: fs::read(folder.join("model.onnx")).unwrap(),
        calls: vec![Call {
            inputs: (0..).map_while(input).collect(),
            outputs: (0..)
                .map_while(|place| stored(format!("output_{place}.pb")))
                .collect(),
        }],
        carried: Vec::new(),
    }
}

#[test]
fn exported_networks_give_what_they_give_elsewhere() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testing/exports/models");
    let given = std::env::var_os("SYNOD_EXPORTS").map(PathBuf::from);
    let root = given.as_ref().unwrap_or(&committed);
    let mut folders: Vec<_> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    assert!(
        given.is_some() || folders.len() == NETWORKS,
        "{} networks",
        folders.len()
    );
    let mut failures = Vec::new();
    for folder in &folders {
        let case = read(folder);
        match run(&case) {
            Ok(report) => eprintln!("{}: {report}", case.name),
            Err(why) => failures.push(format!("{}: {why}", case.name)),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn run(case: &Case) -> Result<String, String> {
    let model = case.import(&Recipes)?;
    let call = &case.calls[0];
    let inputs = arguments(&model, &call.inputs.iter().cloned().collect())?;
    let shapes: Vec<_> = inputs.iter().map(|input| input.shape().to_vec()).collect();
    let plan = model.plan(&shapes).map_err(|error| error.to_string())?;
    let run = |threads| {
        set_threads(threads);
        plan.run(&inputs, &mut Unmetered)
            .map_err(|error| error.to_string())
    };
    let outputs = run(1)?;
    if run(2)? != outputs {
        return Err("two threads give other bits than one".to_owned());
    }
    let multiply_adds = plan.cost().multiply_adds;
    let mut on_reference = "";
    if multiply_adds <= REFERENCE_MULTIPLY_ADDS {
        on_reference = ", on the reference too";
        if plan.run_reference(&inputs, &mut Unmetered).as_ref() != Ok(&outputs) {
            return Err("the two arithmetics differ".to_owned());
        }
    }
    let mut largest = Difference::default();
    for (output, (name, expected)) in outputs.iter().zip(&call.outputs) {
        let difference =
            compare(output, expected, TOLERANCE).map_err(|why| format!("output `{name}`: {why}"))?;
        largest = if difference > largest { difference } else { largest };
    }
    Ok(format!(
        "{:.1} million multiply-adds{on_reference}; largest difference {largest} of the largest output",
        multiply_adds as f64 / 1e6
    ))
}

/// Networks whose validity does not depend on their weights. The others have scales of a Resize among them, or exponents that a cost
/// follows from.
const STEADY: usize = 13;

/// Bytes of weights that are filled anew: loading takes a while.
const FILLED: usize = 20 << 20;

#[test]
fn steady_networks_load_with_any_weights() {
    let mut steady = 0;
    for folder in
        fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testing/exports/models")).unwrap()
    {
        let case = read(&folder.unwrap().path());
        let Ok(canonical) = case.canonical(&Recipes) else {
            continue;
        };
        let model = Model::load(canonical.graph.clone(), canonical.weights.clone()).unwrap();
        if !model.is_steady() {
            continue;
        }
        steady += 1;
        let map = patch::WeightMap::read(canonical.graph.clone()).unwrap();
        // zeros and ones are canonical elements of every type
        for fill in [|_: usize| 0, |index: usize| u8::from(index.is_multiple_of(3))] {
            if canonical.weights.len() > FILLED {
                continue;
            }
            let mut weights = vec![0; canonical.weights.len()];
            for range in map.ranges() {
                weights[range]
                    .iter_mut()
                    .enumerate()
                    .for_each(|(index, byte)| *byte = fill(index));
            }
            let filled = Model::load(canonical.graph.clone(), weights.into());
            assert!(filled.is_ok_and(|filled| filled.is_steady()), "{}", case.name);
        }
    }
    assert_eq!(steady, STEADY);
}
