//! Images of floats whose channels lie in blocks between operators that can: nothing of it shows in a result.
#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

mod build;

use build::{random::Random, *};
use synod_model::*;

/// A network of images under construction.
struct Network<'r> {
    random: &'r mut Random,
    file: OnnxFile,
    /// Names and \[channels, height, width\].
    values: Vec<(String, [usize; 3])>,
}

impl Network<'_> {
    fn take(&mut self, f: impl FnOnce(OnnxFile) -> OnnxFile) {
        let file = std::mem::replace(&mut self.file, OnnxFile::new(13));
        self.file = f(file);
    }

    fn floats(&mut self, name: &str, dims: &[usize]) {
        const SPECIAL: [f32; 5] = [-0.0, f32::NAN, f32::INFINITY, 1e-40, f32::MAX];
        let special = self.random.below(12) == 0;
        let values: Vec<f32> = (0..dims.iter().product())
            .map(|_| match self.random.below(40) {
                0 if special => self.random.pick(&SPECIAL),
                _ => self.random.float(),
            })
            .collect();
        let dims: Vec<i64> = dims.iter().map(|&dim| dim as i64).collect();
        self.take(|file| file.floats(name, &dims, &values));
    }

    /// A value, mostly a late one.
    fn pick(&mut self) -> (String, [usize; 3]) {
        let back = self.random.below(3).min(self.values.len() - 1);
        self.values[self.values.len() - 1 - back].clone()
    }

    fn push(&mut self, op: &str, inputs: &[&str], attributes: &[Vec<u8>], shape: [usize; 3]) {
        let name = format!("v{}", self.values.len());
        self.take(|file| file.node_with(op, inputs, &[&name], attributes));
        self.values.push((name, shape));
    }

    fn convolution(&mut self) {
        let (x, [channels, height, width]) = self.pick();
        let (w, b) = (
            format!("w{}", self.values.len()),
            format!("b{}", self.values.len()),
        );
        let depthwise = self.random.below(3) == 0;
        let out = if depthwise {
            channels
        } else {
            self.random.pick(&[16, 32, 48, 16, 20, 5])
        };
        let kernel = self.random.pick(&[1, 3]).min(height).min(width);
        let (pad, stride) = (self.random.below(kernel / 2 + 1), 1 + self.random.below(2));
        self.floats(&w, &[out, if depthwise { 1 } else { channels }, kernel, kernel]);
        self.floats(&b, &[out]);
        let size = |input: usize| (input + 2 * pad - kernel) / stride + 1;
        self.push(
            "Conv",
            &[&x, &w, &b],
            &[
                attr_ints("pads", &[pad as i64; 4]),
                attr_ints("strides", &[stride as i64; 2]),
                attr_int("group", if depthwise { channels as i64 } else { 1 }),
            ],
            [out, size(height), size(width)],
        );
    }

    fn node(&mut self) {
        let (x, shape) = self.pick();
        let [channels, height, width] = shape;
        match self.random.below(8) {
            0..3 => self.convolution(),
            3 => self.push("Relu", &[&x], &[], shape),
            4 => {
                let op = self
                    .random
                    .pick(&["Clip", "HardSwish", "Sigmoid", "LeakyRelu", "Abs"]);
                let inputs = [&x[..], "zero", "six"];
                self.push(op, if op == "Clip" { &inputs } else { &inputs[..1] }, &[], shape);
            }
            5 => {
                let same: Vec<String> = self
                    .values
                    .iter()
                    .filter(|(_, other)| *other == shape)
                    .map(|(name, _)| name.clone())
                    .collect();
                let other = same[self.random.below(same.len())].clone();
                let op = self.random.pick(&["Add", "Add", "Mul"]);
                self.push(op, &[&x, &other], &[], shape);
            }
            6 if height > 1 && width > 1 => {
                let attributes = [attr_ints("kernel_shape", &[2, 2]), attr_ints("strides", &[1, 2])];
                self.push(
                    "MaxPool",
                    &[&x],
                    &attributes,
                    [channels, height - 1, (width - 2) / 2 + 1],
                );
            }
            _ => {
                let scale = format!("s{}", self.values.len());
                self.floats(&scale, &[channels, 1, 1]);
                self.push("Mul", &[&x, &scale], &[], shape);
            }
        }
    }
}

#[test]
fn the_place_of_channels_does_not_show() {
    for seed in 0..400 {
        let random = &mut Random(7_000 + seed);
        let images = 1 + random.below(2);
        let shape = [
            random.pick(&[3, 16, 32]),
            1 + random.below(12),
            1 + random.below(30),
        ];
        let dims = [images, shape[0], shape[1], shape[2]];
        let names = dims.map(|dim| dim.to_string());
        let mut network = Network {
            random,
            file: OnnxFile::new(14)
                .input("v0", FLOAT, &names.each_ref().map(String::as_str))
                .floats("zero", &[], &[0.0])
                .floats("six", &[], &[6.0]),
            values: vec![("v0".to_owned(), shape)],
        };
        for _ in 0..2 + network.random.below(10) {
            network.node();
        }
        let last = network.values.len() - 1;
        let (name, [_, height, width]) = network.values[last].clone();
        let op = network
            .random
            .pick(&["GlobalAveragePool", "GlobalMaxPool", "Flatten", "Identity"]);
        network.take(|file| file.node(op, &[&name], &["y"]).output("y", FLOAT));
        let some = network.random.below(last + 1);
        if some > 0 && network.random.below(2) == 0 {
            let name = network.values[some].0.clone();
            network.take(|file| file.output(&name, FLOAT));
        }
        let elements = network.random.floats(dims.iter().product());
        let input = [Tensor::from_slice(DType::F32, &dims, &elements).unwrap()];
        let canonical = import_onnx(
            &network.file.clone().encode(),
            &NoExternalData,
            &ImportOptions::default(),
        )
        .unwrap();
        let model = Model::load(canonical.graph, canonical.weights).unwrap();
        let plan = model.plan(&[dims.to_vec()]).unwrap();
        let expected = plan.run_reference(&input, &mut Unmetered).unwrap();
        for threads in [1, 3] {
            synod_numerics::pool::set_threads(threads);
            let got = plan.run(&input, &mut Unmetered).unwrap();
            assert_eq!(
                got, expected,
                "seed {seed}, {threads} threads, {op} of {height} × {width}"
            );
        }
        synod_numerics::pool::set_threads(1);
    }
}
