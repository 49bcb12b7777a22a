//! Operations in registers against the same operations one by one.

use synod_numerics::fast::arithmetic::{Operation, Other, compute};
use synod_numerics::float::Float;

use crate::{Numbers, assert_same, on_every_isa};

const OPERATIONS: [Operation; 6] = [
    Operation::Add,
    Operation::Subtract,
    Operation::SubtractFrom,
    Operation::Multiply,
    Operation::Divide,
    Operation::DivideInto,
];

fn operate(operation: Operation, x: f32, y: f32) -> f32 {
    let result = match operation {
        Operation::Add => x + y,
        Operation::Subtract => x - y,
        Operation::SubtractFrom => y - x,
        Operation::Multiply => x * y,
        Operation::Divide => x / y,
        Operation::DivideInto => y / x,
    };
    result.canonical()
}

#[test]
fn operations_in_registers_round_as_they_do_alone() {
    let mut numbers = Numbers::new(17);
    // lengths that fill no vector, one, several, and some more
    for length in (0..40).chain([127, 128, 129, 300, 1_024, 1_031]) {
        for count in 0..8 {
            let x = numbers.slice(length);
            let others: Vec<Vec<f32>> = (0..count).map(|_| numbers.slice(length)).collect();
            let constants: Vec<Option<f32>> = (0..count)
                .map(|_| (numbers.below(2) == 0).then(|| numbers.special()))
                .collect();
            let operations: Vec<Operation> = (0..count).map(|_| OPERATIONS[numbers.below(6)]).collect();
            let mut expected: Vec<f32> = x.iter().map(|x| x.canonical()).collect();
            for step in 0..count {
                for (x, &y) in expected.iter_mut().zip(&others[step]) {
                    *x = operate(operations[step], *x, constants[step].unwrap_or(y));
                }
            }
            let steps: Vec<(Operation, Other<'_>)> = (0..count)
                .map(|step| {
                    let other = constants[step].map_or(Other::Elements(&others[step]), Other::Number);
                    (operations[step], other)
                })
                .collect();
            on_every_isa(|isa| {
                let mut out = vec![-1.0; length];
                compute(&x, &steps, &mut out);
                assert_same(
                    &out,
                    &expected,
                    &format!("{isa:?}, {length} elements, {operations:?}"),
                );
            });
        }
    }
}

#[test]
#[should_panic(expected = "as many results as elements")]
fn slices_of_different_lengths_are_refused() {
    compute(
        &[1.0; 20],
        &[(Operation::Add, Other::Elements(&[1.0; 19]))],
        &mut [0.0; 20],
    );
}
