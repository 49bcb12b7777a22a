//! Damaged and malicious files, of Keras and safetensors: whatever the bytes, the importer answers, in bounded memory.
//!
//! Mutations of real files, from a seed: a failing seed is the bug report. `SYNOD_IMPORT_MUTATIONS` sets how many for each file.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod sample;

use bytes::Bytes;
use safetensors::{Dtype, tensor::TensorView};
use sample::Sample;
use serde_json::{Value as Json, json};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    collections::BTreeMap,
    fs,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};
use synod_import::{ImportError, KerasOptions, import_keras, with_safetensors};
use synod_model::proto::decode_model;

/// Memory that is in use, and the most that was.
struct Counting;

static USED: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator with its own arguments; counting changes nothing that it sees.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let used = USED.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(used, Ordering::Relaxed);
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        USED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What an import of a file of some kilobytes may take: the bound of what it may unpack to, some times over.
const MOST_BYTES: usize = 512 << 20;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

fn mutations() -> u64 {
    std::env::var("SYNOD_IMPORT_MUTATIONS").map_or(24, |text| text.parse().unwrap())
}

/// A fixture by its name.
fn fixture(name: &str) -> Sample {
    Sample::read(&sample::folder().join(format!("{name}.zip")))
}

/// Every fixture but the applications, whose weights make them large.
fn files() -> Vec<Sample> {
    let files: Vec<Sample> = sample::archives(&sample::folder())
        .iter()
        .filter(|path| !path.to_string_lossy().contains("application-"))
        .map(|path| Sample::read(path))
        .collect();
    assert!(files.len() > 60, "{} files", files.len());
    files
}

/// Imports, and says what came of it. The importer's own panics would end the test; those of the HDF5 reader are errors.
fn import(bytes: Vec<u8>) -> Result<(), ImportError> {
    MOST.store(USED.load(Ordering::Relaxed), Ordering::Relaxed);
    let result = import_keras(bytes, KerasOptions { layer_outputs: true }).map(|_| ());
    let most = MOST.load(Ordering::Relaxed);
    assert!(most < MOST_BYTES, "{most} bytes are taken: {result:?}");
    result
}

/// Changes some bytes: single bits, whole numbers, extremes.
fn flip(bytes: &mut [u8], random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(4) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => bytes[at..].iter_mut().take(8).for_each(|byte| *byte = 0xff),
            _ => bytes[at..].iter_mut().take(4).for_each(|byte| *byte = 0),
        }
    }
}

/// Every value of a document, by JSON pointer.
fn pointers(value: &Json, path: &str, found: &mut Vec<String>) {
    found.push(path.to_owned());
    match value {
        Json::Array(list) => {
            for (index, item) in list.iter().enumerate() {
                pointers(item, &format!("{path}/{index}"), found);
            }
        }
        Json::Object(object) => {
            for (key, item) in object {
                pointers(
                    item,
                    &format!("{path}/{}", key.replace('~', "~0").replace('/', "~1")),
                    found,
                );
            }
        }
        _ => {}
    }
}

fn strange(random: &mut Random) -> Json {
    let values = [
        json!(null),
        json!(0),
        json!(-1),
        json!(1),
        json!(7),
        json!(1_000_003),
        json!(1_u64 << 39),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e308),
        json!(-0.0),
        json!(true),
        json!(""),
        json!("same"),
        json!("linear"),
        json!([]),
        json!({}),
        json!([[], [null]]),
        json!([2, 2, 2, 2, 2, 2, 2, 2, 2]),
        json!(["dense", 0, 0]),
        json!({"class_name": "Dense", "config": {}}),
        json!([1, -1]),
    ];
    values[random.below(values.len())].clone()
}

#[test]
fn a_cut_file_is_an_error() {
    for sample in files() {
        let length = sample.file.len();
        for cut in (0..length).step_by(1 + length / 40) {
            let result = import(sample.file[..cut].to_vec());
            assert!(result.is_err(), "{} cut at {cut} of {length}", sample.name);
        }
    }
}

#[test]
fn changed_bytes_never_end_the_process() {
    std::panic::set_hook(Box::new(|info| {
        // Of the reader's panics one line is enough.
        if !info
            .location()
            .is_some_and(|place| place.file().contains("hdf5-pure"))
        {
            eprintln!("{info}");
        }
    }));
    for sample in files() {
        for seed in 0..mutations() {
            let mut random = Random(seed);
            let mut bytes = sample.file.clone();
            if bytes.starts_with(b"PK") && random.below(4) > 0 {
                // Inside the archive, whose checksums would hide the change.
                let mut members: BTreeMap<String, Vec<u8>> = sample::members(&bytes);
                let names: Vec<String> = members.keys().cloned().collect();
                let name = &names[random.below(names.len())];
                let name = if random.below(2) == 0 {
                    "model.weights.h5"
                } else {
                    name
                };
                flip(members.get_mut(name).unwrap(), &mut random);
                bytes = sample::pack(&members);
            } else {
                flip(&mut bytes, &mut random);
            }
            let _ = import(bytes);
        }
    }
}

#[test]
fn changed_descriptions_never_end_the_process() {
    for sample in files().iter().filter(|sample| sample.file.starts_with(b"PK")) {
        let members = sample::members(&sample.file);
        let whole: Json = serde_json::from_slice(&members["config.json"]).unwrap();
        let mut places = Vec::new();
        pointers(&whole, "", &mut places);
        for seed in 0..4 * mutations() {
            let mut random = Random(seed);
            let mut config = whole.clone();
            for _ in 0..=random.below(2) {
                let place = &places[random.below(places.len())];
                // a value from elsewhere in the description has a form that something takes
                let with = match random.below(3) {
                    0 => whole.pointer(&places[random.below(places.len())]).cloned(),
                    _ => None,
                };
                if let Some(value) = config.pointer_mut(place) {
                    *value = with.unwrap_or_else(|| strange(&mut random));
                }
            }
            let mut members = members.clone();
            members.insert("config.json".to_owned(), serde_json::to_vec(&config).unwrap());
            let _ = import(sample::pack(&members));
        }
    }
}

/// A graph of the repository whose weights are named, and those weights as a safetensors file.
fn graph_and_tensors() -> (Bytes, Vec<u8>) {
    let graph = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/fleet/model.onnx");
    let graph = Bytes::from(fs::read(graph).unwrap());
    let model = decode_model(graph.clone()).unwrap();
    let tensors = model.graph.unwrap().initializer.into_iter().filter_map(|tensor| {
        // those of floats, whose bytes are in one piece
        let data = tensor.raw_data.filter(|_| tensor.data_type == Some(1))?;
        let shape = tensor.dims.iter().map(|&size| size as usize).collect();
        Some((tensor.name?, shape, data))
    });
    let tensors: Vec<(String, Vec<usize>, Bytes)> = tensors.collect();
    assert!(!tensors.is_empty());
    let views = tensors.iter().map(|(name, shape, data)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), data).unwrap();
        (name, view)
    });
    let file = safetensors::serialize(views.collect::<Vec<_>>(), None).unwrap();
    (graph, file)
}

#[test]
fn changed_safetensors_are_placed_or_refused() {
    let (graph, file) = graph_and_tensors();
    let place = |graph: &Bytes, file: &[u8]| {
        MOST.store(USED.load(Ordering::Relaxed), Ordering::Relaxed);
        let result = with_safetensors(graph.clone(), file);
        let most = MOST.load(Ordering::Relaxed);
        assert!(most < MOST_BYTES, "{most} bytes are taken: {result:?}");
        result
    };
    assert!(place(&graph, &file).is_ok());
    for cut in 0..file.len() {
        assert!(place(&graph, &file[..cut]).is_err(), "cut at {cut}");
    }
    let header_length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let (header, data) = file[8..].split_at(header_length);
    let header: Json = serde_json::from_slice(header).unwrap();
    let mut places = Vec::new();
    pointers(&header, "", &mut places);
    let mut random = Random(1);
    let mut placed = 0;
    for _ in 0..100 * mutations() {
        let mut changed = file.clone();
        match random.below(3) {
            0 => flip(&mut changed, &mut random),
            1 => flip(&mut changed[..8 + header_length], &mut random),
            _ => {
                // a header that is whole, of tensors that are not
                let mut header = header.clone();
                let with = header.pointer(&places[random.below(places.len())]).cloned();
                let with = with.filter(|_| random.below(2) == 0);
                if let Some(value) = header.pointer_mut(&places[random.below(places.len())]) {
                    *value = with.unwrap_or_else(|| strange(&mut random));
                }
                let header = serde_json::to_vec(&header).unwrap();
                changed = (header.len() as u64).to_le_bytes().to_vec();
                changed.extend(header);
                changed.extend(data);
            }
        }
        placed += usize::from(place(&graph, &changed).is_ok());
        // and a graph of which something is wrong
        let mut graph = graph.to_vec();
        flip(&mut graph, &mut random);
        let _ = place(&graph.into(), &file);
    }
    assert!(placed > 0);
}

/// A model of one Dense layer with a description of one's own.
fn described(config: &Json) -> Vec<u8> {
    let dense = fixture("dense");
    let mut members = sample::members(&dense.file);
    members.insert("config.json".to_owned(), serde_json::to_vec(config).unwrap());
    sample::pack(&members)
}

#[test]
fn models_of_models_do_not_multiply() {
    // Each model calls the one within it twice: 2^28 calls in some kilobytes.
    let tensor = |name: &str, call: usize| json!({"class_name": "__keras_tensor__", "config": {"keras_history": [name, call, 0]}});
    let input = json!({"class_name": "InputLayer", "module": "keras.layers", "config": {"batch_shape": [null, 2], "dtype": "float32", "name": "x"}, "name": "x", "inbound_nodes": []});
    let act = json!({"class_name": "Activation", "module": "keras.layers", "config": {"name": "m", "activation": "relu"}});
    let mut inner = act;
    for _ in 0..28 {
        inner["name"] = json!("m");
        inner["inbound_nodes"] =
            json!([{"args": [tensor("x", 0)], "kwargs": {}}, {"args": [tensor("m", 0)], "kwargs": {}}]);
        inner = json!({"class_name": "Functional", "module": "keras", "config": {"name": "m", "layers": [input, inner], "input_layers": [["x", 0, 0]], "output_layers": [["m", 1, 0]]}});
    }
    let result = import(described(&inner));
    assert!(result.is_err(), "{result:?}");
}

#[test]
fn an_archive_does_not_unpack_to_more_than_a_model_has() {
    use std::io::Write as _;
    let dense = fixture("dense");
    let members = sample::members(&dense.file);
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let deflated =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    for (name, content) in &members {
        writer.start_file(name.as_str(), deflated).unwrap();
        writer.write_all(content).unwrap();
        if name == "model.weights.h5" {
            let zeros = vec![0; 1 << 20];
            for _ in 0..256 {
                writer.write_all(&zeros).unwrap();
            }
        }
    }
    let bomb = writer.finish().unwrap().into_inner();
    assert!(bomb.len() < 1 << 20);
    assert!(matches!(import(bomb), Err(ImportError::TooLarge { .. })));
}

#[test]
fn a_shape_alone_takes_no_memory() {
    let input = json!({"class_name": "InputLayer", "config": {"batch_shape": [null, 1_u64 << 35, 4], "dtype": "float32", "name": "x"}});
    for (class, options) in [
        (
            "LayerNormalization",
            json!({"name": "l", "axis": [1, 2], "scale": false, "center": false}),
        ),
        (
            "GroupNormalization",
            json!({"name": "l", "axis": 1, "groups": -1, "scale": false, "center": false}),
        ),
        (
            "BatchNormalization",
            json!({"name": "l", "axis": 1, "scale": false}),
        ),
        (
            "Normalization",
            json!({"name": "l", "axis": [1, 2], "mean": 0.0, "variance": 1.0}),
        ),
    ] {
        let layer = json!({"class_name": class, "module": "keras.layers", "config": options});
        let model = json!({"class_name": "Sequential", "config": {"name": "m", "layers": [input, layer]}});
        assert!(
            matches!(import(described(&model)), Err(ImportError::TooLarge { .. })),
            "{class}"
        );
    }
}

#[test]
fn layers_in_a_circle_are_refused() {
    let tensor =
        |name: &str| json!({"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}});
    let layer = |name: &str, from: &str| json!({"class_name": "Activation", "module": "keras.layers", "config": {"name": name, "activation": "relu"}, "name": name, "inbound_nodes": [{"args": [tensor(from)], "kwargs": {}}]});
    let input = json!({"class_name": "InputLayer", "module": "keras.layers", "config": {"batch_shape": [null, 2], "dtype": "float32", "name": "x"}, "name": "x", "inbound_nodes": []});
    let circle = json!({"class_name": "Functional", "config": {"name": "m", "layers": [input, layer("a", "b"), layer("b", "a")], "input_layers": [["x", 0, 0]], "output_layers": [["a", 0, 0]]}});
    let error = import(described(&circle)).unwrap_err();
    assert!(error.to_string().contains("circle"), "{error}");
}
