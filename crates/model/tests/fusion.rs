//! Steps that run as one against the same steps one by one: equal bits, equal charges, whatever joins.

mod build;

use build::{random::Random, *};
use synod_model::*;

const UINT8: i32 = 2;
const INT8: i32 = 3;

/// Charges as they come.
#[derive(Default, PartialEq, Debug)]
struct Record {
    charges: Vec<(usize, Work)>,
    stops_at: Option<usize>,
}

impl Meter for Record {
    fn charge(&mut self, node: usize, work: &Work) -> Result<(), Stop> {
        if self.stops_at == Some(self.charges.len()) {
            return Err(Stop);
        }
        self.charges.push((node, *work));
        Ok(())
    }

    fn plan(&mut self, _work: &Work) -> Result<(), Stop> {
        Ok(())
    }

    fn reserve(&mut self, _bytes: u64, _total: u64) -> Result<(), Stop> {
        Ok(())
    }
}

/// An observed run takes every step by itself.
struct Steps(Vec<usize>);

impl Observer for Steps {
    fn begin(&mut self, nodes: &[usize]) {
        self.0.extend(nodes);
    }

    fn end(&mut self, _nodes: &[usize], _outputs: &[Option<TensorView<'_>>]) {}
}

/// A network under construction: values of f32 with their shapes.
struct Network<'r> {
    random: &'r mut Random,
    file: OnnxFile,
    values: Vec<(String, Vec<usize>)>,
    /// Quantised values: whether signed, names, shapes.
    bytes: Vec<(bool, String, Vec<usize>)>,
    constants: usize,
}

impl Network<'_> {
    fn take(&mut self, f: impl FnOnce(OnnxFile) -> OnnxFile) {
        let file = std::mem::replace(&mut self.file, OnnxFile::new(13));
        self.file = f(file);
    }

    fn number(&mut self) -> f32 {
        const SPECIAL: [f32; 8] = [
            0.0,
            -0.0,
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            1e-40,
            f32::MAX,
            -1.0,
        ];
        if self.random.below(12) == 0 {
            self.random.pick(&SPECIAL)
        } else {
            2.0 * self.random.float()
        }
    }

    fn constant(&mut self, shape: &[usize]) -> String {
        let name = format!("c{}", self.constants);
        self.constants += 1;
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| self.number()).collect();
        let dims: Vec<i64> = shape.iter().map(|&dim| dim as i64).collect();
        self.take(|file| file.floats(&name, &dims, &values));
        name
    }

    fn push(&mut self, op: &str, inputs: &[&str], attributes: &[Vec<u8>], shape: Vec<usize>) {
        let name = format!("v{}", self.values.len());
        self.take(|file| file.node_with(op, inputs, &[&name], attributes));
        self.values.push((name, shape));
    }

    /// One of the values, mostly a late one.
    fn pick(&mut self) -> (String, Vec<usize>) {
        let count = self.values.len();
        let back = self.random.below(3).min(count - 1);
        let index = if self.random.below(4) == 0 {
            self.random.below(count)
        } else {
            count - 1 - back
        };
        self.values[index].clone()
    }

    fn convolution(&mut self, x: &str, shape: &[usize]) {
        let channels = shape[1];
        let depthwise = self.random.below(3) == 0;
        let (out, kernel) = (1 + self.random.below(9), 1 + 2 * self.random.below(2));
        let out = if depthwise { channels } else { out };
        let in_channels = if depthwise { 1 } else { channels };
        let w = self.constant(&[out, in_channels, kernel, kernel]);
        let bias = self.constant(&[out]);
        let pad = (kernel / 2) as i64;
        let mut attributes = vec![attr_ints("pads", &[pad; 4])];
        if depthwise {
            attributes.push(attr_int("group", channels as i64));
        }
        let inputs = [x, &w, &bias];
        let given = if self.random.below(3) == 0 { 2 } else { 3 };
        self.push(
            "Conv",
            &inputs[..given],
            &attributes,
            vec![shape[0], out, shape[2], shape[3]],
        );
    }

    fn product(&mut self, x: &str, shape: &[usize]) {
        let (m, k) = (shape[0], shape[1]);
        let n = 1 + self.random.below(40);
        if self.random.below(2) == 0 {
            let w = self.constant(&[k, n]);
            return self.push("MatMul", &[x, &w], &[], vec![m, n]);
        }
        let w = self.constant(&[n, k]);
        let c = match self.random.below(4) {
            0 => self.constant(&[m, 1]),
            1 => self.constant(&[m, n]),
            2 => self.constant(&[]),
            _ => self.constant(&[n]),
        };
        let mut attributes = vec![attr_int("transB", 1)];
        if self.random.below(2) == 0 {
            attributes.push(attr_float("alpha", 0.5));
            attributes.push(attr_float("beta", 3.0));
        }
        self.push("Gemm", &[x, &w, &c], &attributes, vec![m, n]);
    }

    fn unary(&mut self, x: &str, shape: Vec<usize>) {
        let op = self.random.pick(&[
            "Relu",
            "Sigmoid",
            "Tanh",
            "Erf",
            "Exp",
            "Neg",
            "Abs",
            "Sqrt",
            "HardSwish",
            "LeakyRelu",
            "Elu",
            "Softplus",
            "Floor",
            "Identity",
            "Clip",
        ]);
        if op != "Clip" {
            return self.push(op, &[x], &[], shape);
        }
        let (low, high) = (self.constant(&[]), self.constant(&[]));
        let inputs = [x, &low, &high];
        let given = 1 + self.random.below(3);
        self.push(op, &inputs[..given], &[], shape);
    }

    fn binary(&mut self, x: &str, shape: Vec<usize>) {
        let op = self
            .random
            .pick(&["Add", "Mul", "Sub", "Div", "Max", "Min", "PRelu"]);
        let same: Vec<String> = self
            .values
            .iter()
            .filter(|(_, other)| *other == shape)
            .map(|(name, _)| name.clone())
            .collect();
        let other = match self.random.below(6) {
            5 => {
                let signed = self.random.below(2) == 0;
                let [scale, zero] = self.grid(signed);
                let (bytes, floats) = (
                    format!("c{}", self.constants),
                    format!("c{}/floats", self.constants),
                );
                self.constants += 1;
                let count = shape[shape.len() - 1];
                let values: Vec<u8> = (0..count).map(|_| self.random.next() as u8).collect();
                let code = if signed { INT8 } else { UINT8 };
                self.take(|file| {
                    file.initializer(&bytes, code, &[count as i64], &values).node(
                        "DequantizeLinear",
                        &[&bytes, &scale, &zero],
                        &[&floats],
                    )
                });
                floats
            }
            0 => self.constant(&[]),
            1 => self.constant(&shape[shape.len() - 1..]),
            2 => {
                let mut channel = vec![1; shape.len()];
                channel[1] = shape[1];
                self.constant(&channel[1..])
            }
            3 => {
                let mut first = vec![1; shape.len()];
                (first[0], first[shape.len() - 1]) = (shape[0], shape[shape.len() - 1]);
                self.constant(&first)
            }
            _ => same[self.random.below(same.len())].clone(),
        };
        if op != "PRelu" && self.random.below(2) == 0 {
            self.push(op, &[&other, x], &[], shape);
        } else {
            self.push(op, &[x, &other], &[], shape);
        }
    }

    fn reshape(&mut self, x: &str, shape: &[usize]) {
        let wanted = if shape.len() == 2 {
            vec![1, shape[0], shape[1], 1]
        } else {
            vec![shape[0] * shape[1], shape[2] * shape[3]]
        };
        let name = format!("c{}", self.constants);
        self.constants += 1;
        let dims: Vec<i64> = wanted.iter().map(|&dim| dim as i64).collect();
        self.take(|file| file.i64s(&name, &[dims.len() as i64], &dims));
        self.push("Reshape", &[x, &name], &[], wanted);
    }

    /// A scale and a zero point.
    fn grid(&mut self, signed: bool) -> [String; 2] {
        let scale = self.random.pick(&[0.01, 0.5, 1.0, 3.0, f32::INFINITY, 0.0]);
        let scale = if scale == 0.01 {
            self.random.float().abs()
        } else {
            scale
        };
        let names = [0, 1].map(|index| format!("c{}", self.constants + index));
        self.constants += 2;
        let zero = self.random.next() as u8;
        let code = if signed { INT8 } else { UINT8 };
        self.take(|file| {
            file.floats(&names[0], &[], &[scale])
                .initializer(&names[1], code, &[], &[zero])
        });
        names
    }

    fn quantize(&mut self, x: &str, shape: Vec<usize>) {
        let signed = self.random.below(2) == 0;
        let [scale, zero] = self.grid(signed);
        let name = format!("q{}", self.bytes.len());
        self.take(|file| file.node("QuantizeLinear", &[x, &scale, &zero], &[&name]));
        self.bytes.push((signed, name, shape));
    }

    fn dequantize(&mut self) {
        let back = 1 + self.random.below(3).min(self.bytes.len() - 1);
        let (signed, x, shape) = self.bytes[self.bytes.len() - back].clone();
        let [scale, zero] = self.grid(signed);
        self.push("DequantizeLinear", &[&x, &scale, &zero], &[], shape);
    }

    fn node(&mut self) {
        let (x, shape) = self.pick();
        match self.random.below(12) {
            9 => return self.quantize(&x, shape),
            10 if !self.bytes.is_empty() => return self.dequantize(),
            11 if !self.bytes.is_empty() => {
                self.dequantize();
                self.dequantize();
                return;
            }
            _ => {}
        }
        match self.random.below(9) {
            0 if shape.len() == 4 => self.convolution(&x, &shape),
            0 => self.product(&x, &shape),
            1 => self.reshape(&x, &shape),
            2..5 => self.unary(&x, shape),
            _ => self.binary(&x, shape),
        }
    }
}

fn load(file: &OnnxFile) -> Model {
    let canonical = import_onnx(&file.clone().encode(), &NoExternalData, &ImportOptions::default())
        .expect("the model is valid");
    Model::load(canonical.graph, canonical.weights).expect("what imports loads")
}

#[test]
fn what_runs_as_one_gives_the_bits_of_its_steps() {
    for seed in 0..2_000 {
        let mut random = Random(seed);
        let shape = match random.below(3) {
            // enough for several threads
            _ if seed % 20 == 7 => vec![5, 2_000 + random.below(8_000)],
            0 => vec![1 + random.below(3), 1 + random.below(70)],
            1 => vec![1, 1 + random.below(8), 1 + random.below(40), 1 + random.below(40)],
            _ => vec![2, 3, 5, 7],
        };
        let dims: Vec<String> = shape.iter().map(ToString::to_string).collect();
        let dims: Vec<&str> = dims.iter().map(String::as_str).collect();
        let mut network = Network {
            file: OnnxFile::new(16).input("x", FLOAT, &dims),
            values: vec![("x".to_owned(), shape.clone())],
            bytes: Vec::new(),
            constants: 0,
            random: &mut random,
        };
        for _ in 0..2 + network.random.below(30) {
            network.node();
        }
        let count = network.values.len();
        let mut wanted: Vec<usize> = (0..network.random.below(4))
            .map(|_| network.random.below(count))
            .chain([count - 1])
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        for index in wanted {
            let name = network.values[index].0.clone();
            network.take(|file| file.output(&name, FLOAT));
        }
        for index in 0..network.bytes.len() {
            if network.random.below(3) == 0 {
                let (signed, name, _) = network.bytes[index].clone();
                network.take(|file| file.output(&name, if signed { INT8 } else { UINT8 }));
            }
        }
        let elements: Vec<f32> = (0..shape.iter().product()).map(|_| network.number()).collect();
        let input = [Tensor::from_slice(DType::F32, &shape, &elements).unwrap()];
        let model = load(&network.file);
        let plan = model.plan(&[shape]).unwrap();

        let mut meters = [Record::default(), Record::default(), Record::default()];
        let fused = plan.run(&input, &mut meters[0]).unwrap();
        let mut steps = Steps(Vec::new());
        let observed = plan.run_observed(&input, &mut meters[1], &mut steps).unwrap();
        assert_eq!(fused, observed, "seed {seed}");
        assert_eq!(
            Ok(&fused),
            plan.run_reference(&input, &mut meters[2]).as_ref(),
            "seed {seed}"
        );
        assert_eq!(meters[0], meters[1]);
        assert_eq!(meters[0], meters[2]);
        let charged: Vec<usize> = meters[0].charges.iter().map(|&(node, _)| node).collect();
        assert_eq!(charged, steps.0, "an observer sees every node that is charged");

        // in tensors that have been used, and with more threads
        let mut kept = fused.clone();
        for threads in [1, 3] {
            synod_numerics::pool::set_threads(threads);
            plan.run_into(&input, &mut kept, &mut Unmetered).unwrap();
            assert_eq!(fused, kept, "seed {seed}, {threads} threads");
        }
        synod_numerics::pool::set_threads(1);

        // a run that cannot be paid stops at the same node
        if !charged.is_empty() {
            let poor = || Record {
                stops_at: Some(seed as usize % charged.len()),
                ..Record::default()
            };
            let stopped = plan.run(&input, &mut poor());
            assert!(matches!(stopped, Err(RunError::Stopped { .. })));
            assert_eq!(
                stopped,
                plan.run_observed(&input, &mut poor(), &mut Steps(Vec::new()))
            );
        }
    }
}
