//! Making vectors, with the scalar reference.
//!
//! A vector is never made twice: what is in the folder is the standard, and is kept as it is, whatever has become of the
//! programs that draw. So this only ever adds. A change of the arithmetic is a new profile version and begins with an
//! empty folder.

use crate::{
    build::{
        OnnxFile,
        nodes::{self, Required},
        random::Random,
        shaped,
    },
    check::{self, Engine},
    manifest::{FORMAT, Manifest, TensorEntry, Vector},
    networks, seeded,
};
use eyre::{Result, WrapErr, ensure};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs,
    path::Path,
};
use synod_model::{
    CanonicalModel, DType, ImportError, Tensor, limits,
    ops::{self, AttributeError, Definition, OpError},
};
use synod_numerics::half::{f32_to_bf16, f32_to_f16};

/// Nodes of each operator.
const NODES: usize = 6;

/// Nodes drawn of each operator until there are enough that are valid and differ.
const DRAWS: u64 = 6000;

/// Bytes of all tensors of a node, at most.
const NODE_BYTES: usize = 2048;

/// Adds to the folder what it lacks.
///
/// # Errors
/// If a file cannot be written, or what is there does not hold.
pub fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).wrap_err_with(|| format!("cannot make {}", folder.display()))?;
    let mut manifest = if folder.join("manifest.json").exists() {
        Manifest::read(folder)?
    } else {
        Manifest {
            format: FORMAT,
            profile_version: limits::PROFILE_VERSION,
            vectors: BTreeMap::new(),
            functions: BTreeMap::new(),
            seeded: BTreeMap::new(),
        }
    };
    check::all(folder, &manifest, Engine::Reference, 1)?;
    for (name, network) in networks::all()? {
        let name = format!("networks/{name}");
        if let Entry::Vacant(place) = manifest.vectors.entry(name.clone()) {
            place.insert(write(folder, &name, &network.canonical, &network.inputs)?);
        }
    }
    for definition in ops::OPERATORS {
        let name = format!("operators/{}", definition.name);
        let Entry::Vacant(place) = manifest.vectors.entry(name.clone()) else {
            continue;
        };
        match draw(definition) {
            Some((canonical, inputs)) => {
                place.insert(write(folder, &name, &canonical, &inputs)?);
            }
            None => eprintln!(
                "{}: no valid node was drawn; give it a network in testing/vectors/src/networks.rs",
                definition.name
            ),
        }
    }
    for (name, _) in check::FUNCTIONS {
        if let Entry::Vacant(place) = manifest.functions.entry(name.into()) {
            place.insert(check::function(name)?);
        }
    }
    for name in seeded::NAMES {
        if let Entry::Vacant(place) = manifest.seeded.entry((*name).into()) {
            place.insert(check::run_seeded(name, Engine::Reference)?);
        }
    }
    manifest.write(folder)
}

/// Writes a vector's files.
fn write(folder: &Path, name: &str, canonical: &CanonicalModel, inputs: &[Tensor]) -> Result<Vector> {
    let model = check::load(canonical)?;
    let plan = check::plan(&model, inputs)?;
    let outputs = Engine::Reference
        .run(&plan, inputs)
        .wrap_err_with(|| name.to_owned())?;
    let signature = model.signature();
    let named = |names: Vec<&String>, tensors: &[Tensor]| -> Vec<(String, Tensor)> {
        names.into_iter().cloned().zip(tensors.iter().cloned()).collect()
    };
    let inputs = named(signature.inputs.iter().map(|input| &input.name).collect(), inputs);
    let outputs = named(
        signature.outputs.iter().map(|output| &output.name).collect(),
        &outputs,
    );
    let entries = |tensors: &[(String, Tensor)]| -> Vec<TensorEntry> {
        tensors
            .iter()
            .map(|(name, tensor)| TensorEntry {
                name: name.clone(),
                dtype: tensor.dtype().name().to_owned(),
                shape: tensor.shape().to_vec(),
                digest: tensor.digest().to_string(),
            })
            .collect()
    };
    let mut operators: Vec<String> = model.operators().map(str::to_owned).collect();
    operators.sort();
    operators.dedup();
    let folder = folder.join(name);
    fs::create_dir_all(&folder)?;
    let mut files = BTreeMap::new();
    for (file, bytes) in [
        ("model.onnx", canonical.graph.to_vec()),
        ("weights.bin", canonical.weights.to_vec()),
        ("inputs.pb", encode(&inputs)),
        ("outputs.pb", encode(&outputs)),
    ] {
        if !bytes.is_empty() {
            fs::write(folder.join(file), &bytes)?;
            files.insert(file.to_owned(), check::sha256(&bytes));
        }
    }
    ensure!(!outputs.is_empty(), "{name} has no outputs");
    Ok(Vector {
        model_id: model.id().to_string(),
        operators,
        inputs: entries(&inputs),
        outputs: entries(&outputs),
        files,
    })
}

fn encode(tensors: &[(String, Tensor)]) -> Vec<u8> {
    let one = |(name, tensor): &(String, Tensor)| {
        let dims: Vec<i64> = tensor.shape().iter().map(|&size| size as i64).collect();
        let proto = crate::build::tensor(name, tensor.dtype().onnx_code(), &dims, tensor.bytes());
        crate::build::field(5, &proto)
    };
    tensors.iter().flat_map(one).collect()
}

/// One model with several nodes of an operator, that differ in types and attributes, with inputs.
fn draw(definition: &'static Definition) -> Option<(CanonicalModel, Vec<Tensor>)> {
    let mut required = Required::new();
    let mut chosen: Vec<(u64, Vec<DType>, bool)> = Vec::new();
    for seed in 0..DRAWS {
        if chosen.len() == NODES {
            break;
        }
        let file = add(OnnxFile::new(limits::MAX_OPSET), "", definition, &required, seed);
        let canonical = match nodes::import_with_right_types(&file) {
            Ok(canonical) => canonical,
            Err(ImportError::Node {
                error: OpError::Attribute(AttributeError::Missing { name }),
                ..
            }) => {
                let known = required.entry(definition.name).or_default();
                if !known.contains(&name) {
                    known.push(name);
                }
                continue;
            }
            Err(_) => continue,
        };
        let Some((types, constant)) = judge(&canonical, seed) else {
            continue;
        };
        // Of each combination of types one node whose inputs all come from outside, and one with constants.
        if !chosen
            .iter()
            .any(|(_, known, with)| *known == types && *with == constant)
        {
            chosen.push((seed, types, constant));
        }
    }
    if chosen.is_empty() {
        return None;
    }
    let mut file = OnnxFile::new(limits::MAX_OPSET);
    for (index, (seed, ..)) in chosen.iter().enumerate() {
        file = add(file, &format!("n{index}_"), definition, &required, *seed);
    }
    let canonical = nodes::import_with_right_types(&file).ok()?;
    let model = check::load(&canonical).ok()?;
    // Inputs of a node are drawn from its own seed, as when it was judged.
    let mut inputs = Vec::new();
    for (index, (seed, ..)) in chosen.iter().enumerate() {
        let prefix = format!("n{index}_");
        let mut random = Random(!seed);
        let own = model.signature().inputs.iter();
        for input in own.filter(|input| input.name.starts_with(&prefix)) {
            inputs.push(tensor(input.dtype, &input.max_shape(), &mut random));
        }
    }
    Some((canonical, inputs))
}

/// Adds the node that a seed stands for.
fn add(
    file: OnnxFile,
    prefix: &str,
    definition: &'static Definition,
    required: &Required,
    seed: u64,
) -> OnnxFile {
    let mut random = Random(seed);
    match shaped::draw(definition.name, &mut random) {
        Some(drawn) => nodes::shaped_node(file, prefix, definition, &drawn, &mut random),
        None => nodes::blind_node(file, prefix, definition, required, &mut random),
    }
}

/// Whether a node is worth keeping: it runs, has elements, and is small. Gives the types of its inputs and outputs, and
/// whether it has constants.
fn judge(canonical: &CanonicalModel, seed: u64) -> Option<(Vec<DType>, bool)> {
    let model = check::load(canonical).ok()?;
    let mut random = Random(!seed);
    let signature = model.signature();
    let inputs: Vec<Tensor> = signature
        .inputs
        .iter()
        .map(|input| tensor(input.dtype, &input.max_shape(), &mut random))
        .collect();
    if model.operators().len() != 1 {
        return None;
    }
    let plan = check::plan(&model, &inputs).ok()?;
    let outputs = Engine::Reference.run(&plan, &inputs).ok()?;
    let tensors = || inputs.iter().chain(&outputs);
    let bytes: usize = tensors().map(|tensor| tensor.bytes().len()).sum();
    let whole = outputs.iter().all(|output| output.elements() > 0);
    (whole && bytes + canonical.weights.len() <= NODE_BYTES).then(|| {
        (
            tensors().map(Tensor::dtype).collect(),
            !canonical.weights.is_empty(),
        )
    })
}

/// A tensor of an input. Of floats every second one is tame, so that sums stay numbers; the others are full of zeros of
/// both signs, infinities, NaNs and subnormals. Both have ties to a rounding among them.
fn tensor(dtype: DType, shape: &[usize], random: &mut Random) -> Tensor {
    let wild = random.below(2) == 0;
    draw_tensor(dtype, shape, wild, random)
}

/// [`tensor`] without infinities, NaNs and subnormals.
pub(crate) fn tame(dtype: DType, shape: &[usize], random: &mut Random) -> Tensor {
    draw_tensor(dtype, shape, false, random)
}

fn draw_tensor(dtype: DType, shape: &[usize], wild: bool, random: &mut Random) -> Tensor {
    const TIES: &[f32] = &[
        0.5,
        -0.5,
        1.5,
        2.5,
        -2.5,
        127.5,
        -128.5,
        254.5,
        65_519.996,
        65_520.0,
        1.000_976_6,
        1.003_906_3,
        16_777_217.0,
        0.0,
        -0.0,
    ];
    const WILD: &[f64] = &[
        0.0,
        -0.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        f64::MAX,
        f64::MIN_POSITIVE / 2.0,
        3.4e38,
        1e-45,
        -1.2e-38,
        5e-8,
        65_504.0,
    ];
    let count: usize = shape.iter().product();
    if !dtype.is_float() {
        let bytes = nodes::elements(dtype, count, random);
        return Tensor::from_le_bytes(dtype, shape, &bytes).expect("the length is right");
    }
    let mut value = || match random.below(8) {
        0 => f64::from(random.pick(TIES)),
        1 | 2 if wild => random.pick(WILD),
        3 if wild => f64::from(random.float()) * 1e30,
        4 if wild => f64::from(random.float()) * 1e-39,
        _ => f64::from(random.float()) * 4.0,
    };
    let bytes: Vec<u8> = (0..count)
        .flat_map(|_| {
            let x = value();
            match dtype {
                DType::F64 => x.to_le_bytes().to_vec(),
                DType::F32 => (x as f32).to_le_bytes().to_vec(),
                DType::F16 => f32_to_f16(x as f32).to_le_bytes().to_vec(),
                _ => f32_to_bf16(x as f32).to_le_bytes().to_vec(),
            }
        })
        .collect();
    Tensor::from_le_bytes(dtype, shape, &bytes).expect("the length is right")
}
