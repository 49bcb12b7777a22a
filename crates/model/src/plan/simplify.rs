//! What is left of a chain when what can be known of it is known.
//!
//! Instructions come with as many registers as there are values, each written once, and leave with as few as will do.
//!
//! - Bytes that follow from one byte of a tensor, or of a register, by functions and known elements alone are looked up in a table:
//!   quantised networks spell a Gelu in five operators, each between bytes.
//! - Sums, differences, products and quotients of which each is an operand of the next alone are computed in one go.
//! - What a kernel has left in its output is read there if nothing writes over it, instead of being copied first.
//! - What nobody reads is not computed.

use super::chain::{Bytes, Instruction, MAX_OPERATIONS, Source, Target};
use std::collections::BTreeMap;
use synod_numerics::fast::arithmetic::{Other, compute};

/// Simplifies instructions; `constants` are the elements that they read.
pub(super) fn optimise(instructions: Vec<Instruction>, constants: &[f32]) -> Vec<Instruction> {
    allocate(live(read_in_place(join(look_up(instructions, constants)))))
}

impl Instruction {
    /// The registers that it reads.
    fn reads(&self) -> Vec<usize> {
        let of = |source: &Source| match *source {
            Source::Register(register) => Some(register),
            _ => None,
        };
        match self {
            Self::Load { .. } | Self::Spread { .. } => Vec::new(),
            Self::Map { from, .. } | Self::ToBytes { from, .. } => of(from).into_iter().collect(),
            Self::Zip { from, .. } => from.iter().filter_map(of).collect(),
            Self::Arithmetic { from, .. } => from.iter().filter_map(of).collect(),
            Self::FromBytes { from, .. } | Self::LookUp { from, .. } => match *from {
                Bytes::Register(register) => vec![register],
                Bytes::Tensor(_) => Vec::new(),
            },
            Self::Store { register, .. } | Self::StoreBytes { register, .. } => vec![*register],
        }
    }

    /// Where its result goes.
    pub(super) fn target(&self) -> Target {
        match *self {
            Self::Load { register, .. } | Self::Spread { register, .. } => Target::Register(register),
            Self::Map { to, .. }
            | Self::Zip { to, .. }
            | Self::Arithmetic { to, .. }
            | Self::FromBytes { to, .. }
            | Self::ToBytes { to, .. }
            | Self::LookUp { to, .. } => to,
            Self::Store { output, .. } | Self::StoreBytes { output, .. } => Target::Output(output),
        }
    }

    /// The sources of floats.
    fn sources(&mut self) -> &mut [Source] {
        match self {
            Self::Map { from, .. } | Self::ToBytes { from, .. } => std::slice::from_mut(from),
            Self::Zip { from, .. } => from,
            Self::Arithmetic { from, .. } => from,
            _ => &mut [],
        }
    }

    /// Gives every register another number.
    fn renumber(&mut self, read: impl Fn(usize) -> usize, written: Option<usize>) {
        for source in self.sources() {
            if let Source::Register(register) = source {
                *register = read(*register);
            }
        }
        match self {
            Self::FromBytes { from, .. } | Self::LookUp { from, .. } => {
                if let Bytes::Register(register) = from {
                    *register = read(*register);
                }
            }
            Self::Store { register, .. } | Self::StoreBytes { register, .. } => *register = read(*register),
            _ => {}
        }
        let Some(number) = written else { return };
        match self {
            Self::Load { register, .. } | Self::Spread { register, .. } => *register = number,
            Self::Map { to, .. }
            | Self::Zip { to, .. }
            | Self::Arithmetic { to, .. }
            | Self::FromBytes { to, .. }
            | Self::ToBytes { to, .. }
            | Self::LookUp { to, .. } => *to = Target::Register(number),
            Self::Store { .. } | Self::StoreBytes { .. } => {}
        }
    }
}

/// What a value is for each byte of another.
struct OfByte<T> {
    /// Whose byte; `None` if the value is the same for all.
    of: Option<Bytes>,
    values: Box<[T; 256]>,
}

impl<T: Copy> OfByte<T> {
    fn with<U>(of: Option<Bytes>, values: [U; 256]) -> OfByte<U> {
        OfByte {
            of,
            values: Box::new(values),
        }
    }
}

/// Replaces what makes bytes of one other byte by a table.
fn look_up(mut instructions: Vec<Instruction>, constants: &[f32]) -> Vec<Instruction> {
    let mut floats: BTreeMap<usize, OfByte<f32>> = BTreeMap::new();
    let mut bytes: BTreeMap<usize, OfByte<u8>> = BTreeMap::new();
    for instruction in &mut instructions {
        let of_source = |source: &Source| match *source {
            Source::Constant(constant) => Some((None, [constants[constant]; 256])),
            Source::Register(register) => floats.get(&register).map(|known| (known.of, *known.values)),
            _ => None,
        };
        // if they follow from bytes of one place at most
        let of_sources = |sources: &[Source]| {
            let known = sources.iter().map(of_source).collect::<Option<Vec<_>>>()?;
            let (of, values): (Vec<_>, Vec<_>) = known.into_iter().unzip();
            let mut of = of.into_iter().flatten();
            let first = of.next();
            of.all(|other| Some(other) == first).then_some((first, values))
        };
        let mut results = [0.0; 256];
        match instruction {
            Instruction::Map { function, from, to } => {
                let (Some((of, x)), Target::Register(register)) = (of_source(from), *to) else {
                    continue;
                };
                function(&x, &mut results);
                floats.insert(register, OfByte::<f32>::with(of, results));
            }
            Instruction::Zip { function, from, to } => {
                let (Some((of, known)), Target::Register(register)) = (of_sources(from), *to) else {
                    continue;
                };
                function(&known[0], &known[1], &mut results);
                floats.insert(register, OfByte::<f32>::with(of, results));
            }
            Instruction::Arithmetic { operations, from, to } => {
                let (Some((of, known)), Target::Register(register)) = (of_sources(from), *to) else {
                    continue;
                };
                let others = known[1..].iter().map(|others| Other::Elements(others));
                let steps: Vec<_> = operations.iter().copied().zip(others).collect();
                compute(&known[0], &steps, &mut results);
                floats.insert(register, OfByte::<f32>::with(of, results));
            }
            Instruction::FromBytes { function, from, to } => {
                let Target::Register(register) = *to else { continue };
                let every = std::array::from_fn(|byte| byte as u8);
                let known = match *from {
                    Bytes::Register(register) => bytes.get(&register),
                    Bytes::Tensor(_) => None,
                };
                let (of, x) = known.map_or((Some(*from), every), |known| (known.of, *known.values));
                function(&x, &mut results);
                floats.insert(register, OfByte::<f32>::with(of, results));
            }
            Instruction::ToBytes { function, from, to } => {
                let Some((Some(of), x)) = of_source(from) else {
                    continue;
                };
                let (mut table, to) = ([0; 256], *to);
                function(&x, &mut table);
                if let Target::Register(register) = to {
                    bytes.insert(register, OfByte::<u8>::with(Some(of), table));
                }
                *instruction = Instruction::LookUp {
                    table: Box::new(table),
                    from: of,
                    to,
                };
            }
            _ => {}
        }
    }
    instructions
}

/// Lets operations whose result only another one reads be done with that one.
fn join(instructions: Vec<Instruction>) -> Vec<Instruction> {
    let mut reads: BTreeMap<usize, usize> = BTreeMap::new();
    for register in instructions.iter().flat_map(Instruction::reads) {
        *reads.entry(register).or_default() += 1;
    }
    let mut joined: Vec<Instruction> = Vec::with_capacity(instructions.len());
    for mut instruction in instructions {
        if let Instruction::Arithmetic { operations, from, .. } = &mut instruction
            && let ([operation], &mut [a, b]) = (&mut operations[..], &mut from[..])
        {
            // where the operand comes from and how many operations that takes, if nobody else reads it
            let made_by = |source: Source| {
                let Source::Register(register) = source else {
                    return None;
                };
                let place = joined.iter().position(|before| match before {
                    Instruction::Arithmetic { to, .. } => *to == Target::Register(register),
                    _ => false,
                })?;
                let Instruction::Arithmetic { operations, .. } = &joined[place] else {
                    return None;
                };
                (reads[&register] == 1 && operations.len() < MAX_OPERATIONS)
                    .then_some((operations.len(), place))
            };
            let (of_a, of_b) = (made_by(a), made_by(b));
            // the longer way goes on
            let (operation, other) = if of_b > of_a {
                (operation.exchanged(), a)
            } else {
                (*operation, b)
            };
            if let Some((_, place)) = of_a.max(of_b)
                && let Instruction::Arithmetic {
                    operations: before,
                    from: sources,
                    ..
                } = joined.remove(place)
            {
                *operations = [&before[..], &[operation]].concat();
                *from = [&sources[..], &[other]].concat();
            }
        }
        joined.push(instruction);
    }
    joined
}

/// Lets operators read what a kernel has left where it lies, if none of them writes over it before the last has read it.
fn read_in_place(mut instructions: Vec<Instruction>) -> Vec<Instruction> {
    let Some(&Instruction::Load { output, register }) = instructions.first() else {
        return instructions;
    };
    let last = instructions
        .iter()
        .rposition(|instruction| instruction.reads().contains(&register));
    let up_to_last = &mut instructions[1..=last.unwrap_or(0)];
    let in_the_way = |instruction: &Instruction| {
        instruction.target() == Target::Output(output)
            || matches!(instruction, Instruction::Store { register: stored, .. } if *stored == register)
    };
    if up_to_last.iter().any(in_the_way) {
        return instructions;
    }
    for instruction in up_to_last {
        for source in instruction.sources() {
            if *source == Source::Register(register) {
                *source = Source::Output(output);
            }
        }
    }
    instructions
}

/// Leaves out what writes registers that nobody reads.
fn live(instructions: Vec<Instruction>) -> Vec<Instruction> {
    let mut read = Vec::new();
    let mut kept = Vec::with_capacity(instructions.len());
    for instruction in instructions.into_iter().rev() {
        if matches!(instruction.target(), Target::Register(register) if !read.contains(&register)) {
            continue;
        }
        read.extend(instruction.reads());
        kept.push(instruction);
    }
    kept.reverse();
    kept
}

/// Gives registers numbers that others have left.
fn allocate(mut instructions: Vec<Instruction>) -> Vec<Instruction> {
    let mut last_read = BTreeMap::new();
    for (at, instruction) in instructions.iter().enumerate() {
        for register in instruction.reads() {
            last_read.insert(register, at);
        }
    }
    let mut numbers: BTreeMap<usize, usize> = BTreeMap::new();
    let (mut free, mut count) = (Vec::new(), 0);
    for (at, instruction) in instructions.iter_mut().enumerate() {
        let reads = instruction.reads();
        // what is read is not written over while it is: its number is free for the next
        let written = match instruction.target() {
            Target::Output(_) => None,
            Target::Register(register) => {
                let number = free.pop().unwrap_or_else(|| {
                    count += 1;
                    count - 1
                });
                Some((register, number))
            }
        };
        instruction.renumber(|register| numbers[&register], written.map(|(_, number)| number));
        numbers.extend(written);
        let mut done = reads;
        done.sort_unstable();
        done.dedup();
        free.extend(
            done.into_iter()
                .filter(|register| last_read.get(register) == Some(&at))
                .map(|register| numbers[&register]),
        );
    }
    instructions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Map;
    use synod_numerics::fast::arithmetic::Operation;

    fn doubled() -> Box<Map<f32>> {
        Box::new(|x: &[f32], out: &mut [f32]| {
            out.iter_mut().zip(x).for_each(|(out, x)| *out = 2.0 * x);
        })
    }

    fn from_bytes(from: Bytes, register: usize) -> Instruction {
        Instruction::FromBytes {
            function: Box::new(|x: &[u8], out: &mut [f32]| {
                out.iter_mut().zip(x).for_each(|(out, &x)| *out = x.into());
            }),
            from,
            to: Target::Register(register),
        }
    }

    fn to_bytes(from: usize, to: Target) -> Instruction {
        Instruction::ToBytes {
            function: Box::new(|x: &[f32], out: &mut [u8]| {
                out.iter_mut().zip(x).for_each(|(out, &x)| *out = x as u8);
            }),
            from: Source::Register(from),
            to,
        }
    }

    fn map(from: Source, to: Target) -> Instruction {
        Instruction::Map {
            function: doubled(),
            from,
            to,
        }
    }

    #[test]
    fn functions_of_a_byte_become_one_table() {
        let from = Bytes::Tensor(3);
        let simplified = optimise(
            vec![
                from_bytes(from, 0),
                map(Source::Register(0), Target::Register(1)),
                to_bytes(1, Target::Register(2)),
                from_bytes(Bytes::Register(2), 3),
                map(Source::Register(3), Target::Register(4)),
                to_bytes(4, Target::Output(0)),
            ],
            &[],
        );
        let [
            Instruction::LookUp {
                table,
                from: found,
                to: Target::Output(0),
            },
        ] = &simplified[..]
        else {
            panic!("one table is enough");
        };
        assert_eq!(*found, from);
        // each quantisation saturates
        assert_eq!([table[3], table[63], table[64], table[200]], [12, 252, 255, 255]);
    }

    #[test]
    fn what_a_kernel_left_is_read_there_unless_it_is_written_over() {
        let load = || Instruction::Load {
            output: 0,
            register: 0,
        };
        let in_place = optimise(
            vec![
                load(),
                map(Source::Register(0), Target::Register(1)),
                map(Source::Register(1), Target::Output(0)),
            ],
            &[],
        );
        assert!(matches!(
            in_place[..],
            [
                Instruction::Map {
                    from: Source::Output(0),
                    to: Target::Register(0),
                    ..
                },
                Instruction::Map {
                    from: Source::Register(0),
                    to: Target::Output(0),
                    ..
                },
            ]
        ));
        let copied = optimise(vec![load(), map(Source::Register(0), Target::Output(0))], &[]);
        assert!(matches!(copied[..], [Instruction::Load { .. }, _]));
    }

    fn operation(operation: Operation, a: Source, b: Source, to: Target) -> Instruction {
        Instruction::Arithmetic {
            operations: vec![operation],
            from: vec![a, b],
            to,
        }
    }

    #[test]
    fn operations_of_which_each_serves_the_next_alone_are_one() {
        let (register, number) = (Source::Register, Source::Constant);
        let x = Source::Tensor(0);
        // 1 − x · (3 + x · 2), of which the outermost operation has its operands the other way round
        let simplified = optimise(
            vec![
                operation(Operation::Multiply, number(1), x, Target::Register(0)),
                operation(Operation::Add, number(2), register(0), Target::Register(1)),
                operation(Operation::Multiply, x, register(1), Target::Register(2)),
                operation(Operation::Subtract, number(0), register(2), Target::Output(0)),
            ],
            &[1.0, 2.0, 3.0],
        );
        let [
            Instruction::Arithmetic {
                operations,
                from,
                to: Target::Output(0),
            },
        ] = &simplified[..]
        else {
            panic!("one instruction is enough");
        };
        assert_eq!(
            operations[..],
            [
                Operation::Multiply,
                Operation::Add,
                Operation::Multiply,
                Operation::SubtractFrom
            ]
        );
        assert_eq!(from[..], [number(1), x, number(2), x, number(0)]);
    }

    #[test]
    fn what_two_read_stays_a_register() {
        let register = Source::Register;
        let x = Source::Tensor(0);
        let simplified = optimise(
            vec![
                operation(Operation::Add, x, x, Target::Register(0)),
                operation(Operation::Multiply, register(0), register(0), Target::Register(1)),
                operation(Operation::Add, register(1), register(1), Target::Output(0)),
            ],
            &[],
        );
        assert_eq!(simplified.len(), 3);
    }

    #[test]
    fn registers_serve_again_and_nothing_is_computed_for_nobody() {
        let simplified = optimise(
            vec![
                map(Source::Tensor(0), Target::Register(0)),
                map(Source::Register(0), Target::Register(1)),
                map(Source::Register(0), Target::Register(2)),
                map(Source::Register(2), Target::Register(3)),
                map(Source::Register(3), Target::Output(0)),
            ],
            &[],
        );
        let registers: Vec<Target> = simplified.iter().map(Instruction::target).collect();
        let register = Target::Register;
        assert_eq!(
            registers,
            [register(0), register(1), register(0), Target::Output(0)]
        );
    }
}
