//! The committed vectors on every arithmetic of this machine.

use std::{collections::BTreeSet, fs};
use synod_model::ops;
use synod_vectors::{
    check::{self, Engine},
    folder,
    manifest::Manifest,
    pictures,
};

/// The reference, and the fast kernels of each instruction set, with 1, 2, 3 and 8 threads.
#[test]
fn every_arithmetic_gives_the_golden_bits() {
    let manifest = Manifest::read(&folder()).unwrap();
    let mut hashes = BTreeSet::new();
    for engine in Engine::available() {
        for threads in check::THREADS {
            let hash = check::all(&folder(), &manifest, engine, threads);
            hashes.insert(hash.unwrap_or_else(|error| panic!("{threads} threads: {error:#}")));
        }
    }
    assert_eq!(hashes.len(), 1, "what is compared is also what is hashed");
}

#[test]
fn every_operator_and_function_has_a_vector() {
    let manifest = Manifest::read(&folder()).unwrap();
    let known: BTreeSet<&str> = manifest
        .vectors
        .values()
        .flat_map(|vector| &vector.operators)
        .map(String::as_str)
        .collect();
    let missing: Vec<&str> = ops::DOMAINS
        .iter()
        .flat_map(|domain| domain.operators)
        .map(|definition| definition.name)
        .filter(|name| !known.contains(name))
        .collect();
    assert!(
        missing.is_empty(),
        "no golden vector has these operators: {missing:?}; `cargo xtask vectors` draws what can be drawn, and \
         testing/vectors/src/networks.rs takes the rest"
    );
    assert!(
        check::FUNCTIONS
            .iter()
            .all(|(name, _)| manifest.functions.contains_key(*name))
    );
}

#[test]
fn pictures_become_the_golden_pixels_and_tensors() {
    assert!(pictures::check(&folder()).unwrap() > 700);
    let copy = tempfile::tempdir().unwrap();
    fs::create_dir(copy.path().join("pictures")).unwrap();
    for file in fs::read_dir(folder().join("pictures")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.path().join("pictures").join(file.file_name())).unwrap();
    }
    // a mean that is a little greater
    let path = copy.path().join("pictures/vit.json");
    let config = fs::read_to_string(&path).unwrap();
    assert!(config.contains("0.5"));
    fs::write(&path, config.replacen("0.5", "0.50001", 1)).unwrap();
    let wrong = pictures::check(copy.path()).unwrap_err();
    assert!(wrong.to_string().contains("vit.json: other elements"), "{wrong}");
}

/// Nothing lies in the folder that the manifest does not name, and it stays small.
#[test]
fn the_folder_is_what_the_manifest_says() {
    let manifest = Manifest::read(&folder()).unwrap();
    let mut bytes = fs::metadata(folder().join("manifest.json")).unwrap().len();
    for kind in ["networks", "operators"] {
        for entry in fs::read_dir(folder().join(kind)).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{kind}/{}", path.file_name().unwrap().to_str().unwrap());
            let vector = manifest
                .vectors
                .get(&name)
                .unwrap_or_else(|| panic!("{name} is not in the manifest"));
            for file in fs::read_dir(path).unwrap() {
                let file = file.unwrap();
                assert!(
                    vector.files.contains_key(file.file_name().to_str().unwrap()),
                    "{file:?}"
                );
                bytes += file.metadata().unwrap().len();
            }
        }
    }
    assert!(bytes < 4 << 20, "{bytes} bytes are too many to commit");
}

/// The check itself notices one changed bit, in a file and in a result.
#[test]
fn one_bit_is_noticed() {
    let mut manifest = Manifest::read(&folder()).unwrap();
    let name = "networks/mlp";
    let vector = manifest.vectors.get_mut(name).unwrap();
    let copy = tempfile::tempdir().unwrap();
    fs::create_dir_all(copy.path().join(name)).unwrap();
    for file in vector.files.keys() {
        fs::copy(folder().join(name).join(file), copy.path().join(name).join(file)).unwrap();
    }
    assert!(check::Loaded::read(copy.path(), name, vector).is_ok());
    // the last byte of the last output
    let path = copy.path().join(name).join("outputs.pb");
    let mut outputs = fs::read(&path).unwrap();
    *outputs.last_mut().unwrap() ^= 1;
    fs::write(&path, &outputs).unwrap();
    let damaged = check::Loaded::read(copy.path(), name, vector).err().unwrap();
    assert!(damaged.to_string().contains("outputs.pb"), "{damaged}");
    // whoever changes the hashes as well still has the arithmetic against him
    vector.files.insert("outputs.pb".into(), check::sha256(&outputs));
    let last = vector.outputs.len() - 1;
    let changed = synod_vectors::tensors::read(&outputs).unwrap();
    vector.outputs[last].digest = changed[last].1.digest().to_string();
    let loaded = check::Loaded::read(copy.path(), name, vector).unwrap_or_else(|error| panic!("{error:#}"));
    let wrong = loaded.run(Engine::Reference).unwrap_err();
    assert!(wrong.to_string().contains("must be"), "{wrong}");
}
