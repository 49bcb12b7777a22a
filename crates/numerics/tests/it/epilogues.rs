//! Work on finished elements gives the bits of separate nodes.

use synod_numerics::fast::epilogue::{Function, Step, Steps};
use synod_numerics::fast::matrix as fm;
use synod_numerics::float::Float;
use synod_numerics::reference as slow;
use synod_numerics::shape::Matrix;

use crate::agreement::{convolutions_of_networks, packed_convolution_gives};
use crate::{Numbers, assert_same, on_every_isa_and_threads};

#[test]
fn an_epilogue_is_what_separate_nodes_compute() {
    let functions = [
        Function::Relu,
        Function::Clip { low: 0.0, high: 6.0 },
        Function::LeakyRelu { slope: 0.1 },
        Function::HardSigmoid {
            alpha: 0.2,
            beta: 0.5,
        },
        Function::HardSwish,
        Function::Sigmoid,
        Function::Silu,
        Function::Tanh,
        Function::Gelu,
        Function::GeluTanh,
    ];
    let mut numbers = Numbers::new(33);
    for (index, shape) in convolutions_of_networks().into_iter().enumerate() {
        let x = numbers.slice(shape.batch * shape.groups * shape.in_channels * shape.input_size());
        let w = numbers.slice(shape.groups * shape.out_channels * shape.terms());
        let mut expected =
            vec![f32::NAN; shape.batch * shape.groups * shape.out_channels * shape.output_size()];
        let (residual, factor) = (numbers.slice(expected.len()), numbers.slice(expected.len()));
        slow::conv(&shape, &x, &w, None, &mut expected);
        let function = functions[index % functions.len()];
        for ((y, &a), &b) in expected.iter_mut().zip(&residual).zip(&factor) {
            *y = (*y + a).canonical();
            function.apply(std::slice::from_mut(y));
            *y = (*y * b).canonical();
        }
        let steps = [
            Step::Add(&residual),
            Step::Function(function),
            Step::Multiply(&factor),
        ];
        let what = format!(" with {function:?}");
        packed_convolution_gives(&expected, &shape, [&x, &w], None, Some(&Steps(&steps)), &what);
    }
    for (index, (m, n, k)) in [
        (1, 70, 40),
        (5, 33, 9),
        (130, 100, 20),
        (9, 1030, 3),
        (150, 48, 1100),
        (180, 300, 100),
        (3, 5, 0),
    ]
    .into_iter()
    .enumerate()
    {
        let (a, b, row) = (numbers.slice(m * k), numbers.slice(k * n), numbers.slice(n));
        let (a, b) = (Matrix::row_major(&a, k), Matrix::row_major(&b, n));
        let residual = numbers.slice(m * n);
        let mut product = vec![f32::NAN; m * n];
        slow::gemm(m, n, k, a, b, &mut product);
        let function = functions[index % 3];
        let of_products: [&[Step<'_>]; 5] = [
            &[Step::AddRow(&row), Step::Function(function)],
            &[Step::AddRow(&row), Step::Add(&residual)],
            &[Step::Add(&residual), Step::AddRow(&row)],
            &[Step::AddRow(&row), Step::Add(&residual), Step::Function(function)],
            &[Step::Multiply(&residual), Step::AddRow(&row)],
        ];
        for steps in of_products {
            let mut expected = product.clone();
            for (i, y) in expected.iter_mut().enumerate() {
                for step in steps {
                    *y = match step {
                        Step::Add(other) => (*y + other[i]).canonical(),
                        Step::AddRow(row) => (*y + row[i % n]).canonical(),
                        Step::Multiply(other) => (*y * other[i]).canonical(),
                        Step::Function(function) => {
                            function.apply(std::slice::from_mut(y));
                            *y
                        }
                    };
                }
            }
            let epilogue = Steps(steps);
            on_every_isa_and_threads(|how| {
                let mut out = vec![7.0; m * n];
                let packed = fm::PackedColumns::new(k, n, b);
                fm::gemm_packed_then(m, a, &packed, Some(&epilogue), &mut out);
                assert_same(&out, &expected, &format!("{m}x{n}x{k} on {how}"));
                out.fill(7.0);
                let mut scratch = vec![3.0; fm::gemm_scratch(m, n, k)];
                fm::gemm_then([m, n, k], a, b, Some(&epilogue), &mut out, &mut scratch);
                assert_same(&out, &expected, &format!("{m}x{n}x{k} on {how}, not packed"));
            });
        }
    }
}
