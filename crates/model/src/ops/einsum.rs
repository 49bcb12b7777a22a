//! Einsum: sums of products of any number of tensors, their axes named by letters. ONNX versions 12 and 28.
//!
//! For each output element the terms run over the letters that the output lacks, in the order in which the equation first names
//! them, the last fastest. A term of several operands is their product from the left, the last factor fused into the sum:
//! chain = fma(a, b, chain). Of one operand the elements are added. Two operands are brought into the form of a product of
//! matrices where that is possible: the same chains, faster.

use super::{
    AttributeError, DType, Definition, Inputs, Io, Kernel, NUMBERS, OpError, Operator, Path, TensorType,
    Work,
    data::{Strided, signed_strides},
    elementwise::with_integer,
    floats::{Compute, FloatKernel, FloatOperation, Known, on_floats, required},
    kernel,
    matmul::product_arithmetic,
    streamed,
};
use crate::{
    shape::{Shape, element_count},
    tensor::{Element, TensorViewMut},
};
use synod_numerics::{integer::Integer, shape::Matrix};

/// `Einsum`
pub(super) const EINSUM: Definition = Definition {
    name: "Einsum",
    since: &[12, 28],
    inputs: 1..=usize::MAX,
    outputs: 1..=1,
    parse: |node| {
        let equation = node
            .attributes
            .string("equation")?
            .ok_or(AttributeError::Missing { name: "equation" })?;
        match Equation::parse(&equation) {
            Some(equation) => Ok(Box::new(Einsum { equation })),
            None => Err(AttributeError::Value {
                name: "equation",
                value: equation,
                expected: "terms of letters and at most one ellipsis each, separated by commas, and after -> those of the output",
            }
            .into()),
        }
    },
};

/// What an axis of an operand is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Letter(u8),
    /// All axes that the letters leave.
    Ellipsis,
}

#[derive(Debug, Clone)]
struct Equation {
    terms: Vec<Vec<Mark>>,
    output: Vec<Mark>,
}

impl Equation {
    fn parse(text: &str) -> Option<Self> {
        let text: String = text.chars().filter(|c| *c != ' ').collect();
        let (left, right) = match text.split_once("->") {
            Some((left, right)) => (left, Some(right)),
            None => (&text[..], None),
        };
        let terms = left.split(',').map(marks).collect::<Option<Vec<_>>>()?;
        let named = |mark: &Mark| terms.iter().flatten().filter(|other| *other == mark).count();
        let output = match right {
            Some(right) => {
                let output = marks(right)?;
                let distinct = output
                    .iter()
                    .enumerate()
                    .all(|(at, mark)| !output[..at].contains(mark));
                // an output without ellipsis sums over the ellipses' axes; one with an ellipsis that no term has, has no axes there
                let known = output
                    .iter()
                    .all(|mark| *mark == Mark::Ellipsis || named(mark) > 0);
                if !(distinct && known) {
                    return None;
                }
                output
            }
            None => {
                let mut letters: Vec<u8> = terms
                    .iter()
                    .flatten()
                    .filter_map(|mark| match mark {
                        Mark::Letter(letter) if named(mark) == 1 => Some(*letter),
                        _ => None,
                    })
                    .collect();
                letters.sort_unstable();
                let ellipsis = (named(&Mark::Ellipsis) > 0).then_some(Mark::Ellipsis);
                ellipsis
                    .into_iter()
                    .chain(letters.into_iter().map(Mark::Letter))
                    .collect()
            }
        };
        Some(Self { terms, output })
    }
}

fn marks(term: &str) -> Option<Vec<Mark>> {
    let mut marks = Vec::new();
    let mut rest = term.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first.is_ascii_alphabetic() {
            marks.push(Mark::Letter(first));
            rest = after;
        } else if let Some(after) = rest.strip_prefix(b"...") {
            if marks.contains(&Mark::Ellipsis) {
                return None;
            }
            marks.push(Mark::Ellipsis);
            rest = after;
        } else {
            return None;
        }
    }
    Some(marks)
}

/// An axis of the whole computation: a letter, or an axis under the ellipsis counted from its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Letter(u8),
    Under(usize),
}

/// An equation for concrete shapes.
#[derive(Debug, Clone)]
struct Concrete {
    /// Sizes of the output's axes and of the summed ones.
    output: Shape,
    summed: Shape,
    /// For each operand its strides along the output's axes and along the summed ones (0 where it lacks them).
    strides: Vec<[Vec<usize>; 2]>,
}

impl Concrete {
    fn new(equation: &Equation, shapes: &[&[usize]]) -> Result<Self, OpError> {
        let refuse = |why: &str| OpError::Shape(format!("{why} in an Einsum of shapes {shapes:?}"));
        if shapes.len() != equation.terms.len() {
            return Err(refuse("the equation has another number of terms"));
        }
        let mut sizes: Vec<(Name, usize)> = Vec::new();
        let mut operands: Vec<Vec<(Name, usize, usize)>> = Vec::new();
        let mut under = 0;
        for (term, shape) in equation.terms.iter().zip(shapes) {
            let letters = term.iter().filter(|mark| **mark != Mark::Ellipsis).count();
            let spare = shape
                .len()
                .checked_sub(letters)
                .ok_or_else(|| refuse("a term has more letters than axes"))?;
            if spare > 0 && !term.contains(&Mark::Ellipsis) {
                return Err(refuse("a term has fewer letters than axes"));
            }
            under = under.max(spare);
            let names = term.iter().flat_map(|mark| match mark {
                Mark::Letter(letter) => vec![Name::Letter(*letter)],
                Mark::Ellipsis => (0..spare).rev().map(Name::Under).collect(),
            });
            let mut axes = Vec::new();
            for ((name, &size), step) in names.zip(*shape).zip(crate::shape::strides(shape)) {
                match sizes.iter_mut().find(|(other, _)| *other == name) {
                    None => sizes.push((name, size)),
                    Some((_, known)) if *known == size => {}
                    // only the axes under an ellipsis broadcast
                    Some((Name::Under(_), known)) if *known == 1 => *known = size,
                    Some((Name::Under(_), _)) if size == 1 => {}
                    Some(_) => return Err(refuse("a letter names axes of different sizes")),
                }
                axes.push((name, size, step));
            }
            operands.push(axes);
        }
        let output: Vec<Name> = equation
            .output
            .iter()
            .flat_map(|mark| match mark {
                Mark::Letter(letter) => vec![Name::Letter(*letter)],
                Mark::Ellipsis => (0..under).rev().map(Name::Under).collect(),
            })
            .collect();
        let summed: Vec<Name> = sizes
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| !output.contains(name))
            .collect();
        let size = |name: &Name| {
            sizes
                .iter()
                .find(|(other, _)| other == name)
                .map_or(1, |(_, size)| *size)
        };
        // a letter that a term repeats walks its diagonal: the strides add up
        let along = |axes: &[(Name, usize, usize)], names: &[Name]| -> Vec<usize> {
            let step = |name: &Name| {
                let own = axes
                    .iter()
                    .filter(|(other, own, _)| other == name && (*own != 1 || size(name) == 1));
                own.map(|(_, _, step)| step).sum()
            };
            names.iter().map(step).collect()
        };
        Ok(Self {
            strides: operands
                .iter()
                .map(|axes| [along(axes, &output), along(axes, &summed)])
                .collect(),
            output: output.iter().map(size).collect(),
            summed: summed.iter().map(size).collect(),
        })
    }

    /// Calls `write` for each output element with the positions of every operand for its first term, relative to which `terms`
    /// gives those of the others.
    fn each_output(&self, mut write: impl FnMut(usize, &[usize])) {
        let mut at = vec![0; self.strides.len()];
        walk(
            &self.output,
            &self
                .strides
                .iter()
                .map(|[outer, _]| &outer[..])
                .collect::<Vec<_>>(),
            &mut at,
            |place, at| {
                write(place, at);
            },
        );
    }

    fn each_term(&self, start: &[usize], mut visit: impl FnMut(&[usize])) {
        let mut at = start.to_vec();
        walk(
            &self.summed,
            &self
                .strides
                .iter()
                .map(|[_, inner]| &inner[..])
                .collect::<Vec<_>>(),
            &mut at,
            |_, at| {
                visit(at);
            },
        );
    }

    /// This as a product of matrices, if it is one of two operands that share every summed axis.
    fn as_product(&self) -> Option<Product> {
        let [[a_outer, a_inner], [b_outer, b_inner]] = &self.strides[..] else {
            return None;
        };
        let walks = |strides: &[usize], sizes: &[usize], axis: usize| strides[axis] != 0 || sizes[axis] == 1;
        if !(0..self.summed.len())
            .all(|axis| walks(a_inner, &self.summed, axis) && walks(b_inner, &self.summed, axis))
        {
            return None;
        }
        let (mut batch, mut rows, mut columns) = (vec![], vec![], vec![]);
        for axis in 0..self.output.len() {
            match (a_outer[axis] != 0, b_outer[axis] != 0) {
                (true, true) => batch.push(axis),
                (true, false) => rows.push(axis),
                (false, _) => columns.push(axis),
            }
        }
        Some(Product { batch, rows, columns })
    }
}

/// Visits every place of a shape in row-major order, moving positions along.
fn walk(shape: &[usize], strides: &[&[usize]], at: &mut [usize], mut visit: impl FnMut(usize, &[usize])) {
    let mut coordinates = vec![0; shape.len()];
    for place in 0..element_count(shape) {
        visit(place, at);
        for axis in (0..shape.len()).rev() {
            coordinates[axis] += 1;
            for (at, strides) in at.iter_mut().zip(strides) {
                *at += strides[axis];
            }
            if coordinates[axis] < shape[axis] {
                break;
            }
            for (at, strides) in at.iter_mut().zip(strides) {
                *at -= strides[axis] * shape[axis];
            }
            coordinates[axis] = 0;
        }
    }
}

/// Which of the output's axes both operands walk, which only the first, which only the second or none.
#[derive(Debug, Clone)]
struct Product {
    batch: Vec<usize>,
    rows: Vec<usize>,
    columns: Vec<usize>,
}

#[derive(Debug)]
struct Einsum {
    equation: Equation,
}

impl Einsum {
    fn concrete(&self, inputs: &Inputs<'_>) -> Result<Concrete, OpError> {
        let shapes = (0..inputs.len()).map(|index| Ok(inputs.required(index)?.shape));
        Concrete::new(&self.equation, &shapes.collect::<Result<Vec<_>, OpError>>()?)
    }
}

impl Operator for Einsum {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let dtype = inputs.of_types(0, NUMBERS)?.dtype;
        for index in 1..inputs.len() {
            inputs.like(index, dtype)?;
        }
        Ok(vec![TensorType::new(dtype, self.concrete(inputs)?.output)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let Ok(concrete) = self.concrete(inputs) else {
            return Work::default();
        };
        let dtype = outputs[0].dtype;
        let results = outputs[0].elements() as u64;
        let terms = concrete
            .summed
            .iter()
            .fold(1_u64, |all, &size| all.saturating_mul(size as u64));
        let arithmetic = match concrete.as_product().filter(|_| dtype.is_float()) {
            Some(product) => {
                let [batch, m, n] = product.dims(&concrete);
                let moved = inputs
                    .iter()
                    .map(|x| x.elements() as u64)
                    .fold(results, u64::saturating_add);
                product_arithmetic(dtype, m, n, terms as usize)
                    .saturating_mul(batch as u64)
                    .saturating_add(moved.saturating_mul(48))
                    .saturating_add((batch as u64).saturating_mul(1_000))
            }
            None => results
                .saturating_mul(terms)
                .saturating_mul(inputs.len() as u64 * 160)
                .saturating_add(results.saturating_mul(4_000)),
        };
        Work {
            arithmetic: arithmetic.saturating_add(4_000),
            bytes: streamed(inputs, outputs).saturating_mul(2),
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        fn integers<T: Integer + Element, S>(concrete: Concrete, _: S) -> Box<dyn Kernel> {
            kernel(move |io: &mut Io<'_, '_>| {
                let (inputs, outputs, _) = io.split();
                let inputs: Vec<&[T]> = inputs.iter().flatten().map(|view| view.as_slice::<T>()).collect();
                let out = outputs.first_mut().and_then(Option::as_mut);
                let out = out.map_or(&mut [][..], TensorViewMut::as_mut_slice::<T>);
                concrete.each_output(|place, start| {
                    let mut sum = T::default();
                    concrete.each_term(start, |at| {
                        let factors = inputs.iter().zip(at).map(|(input, &at)| input[at]);
                        sum = sum.add(factors.fold(T::wrap(1), T::mul));
                    });
                    out[place] = sum;
                });
                Ok(())
            })
        }
        let concrete = self.concrete(inputs)?;
        Ok(if outputs[0].dtype.is_float() {
            on_floats(&concrete, inputs, outputs)
        } else {
            with_integer!(outputs[0].dtype, integers(concrete, ()))
        })
    }
}

impl FloatOperation for Concrete {
    fn build<T: Compute>(&self, _known: &Known<'_>) -> Box<dyn FloatKernel<T>> {
        let product = self.as_product().map(|product| Matrices::new(self, &product));
        Box::new(Floats {
            concrete: self.clone(),
            product,
        })
    }
}

struct Floats {
    concrete: Concrete,
    product: Option<Matrices>,
}

impl Product {
    /// Products, their rows and columns.
    fn dims(&self, concrete: &Concrete) -> [usize; 3] {
        [&self.batch, &self.rows, &self.columns]
            .map(|axes| axes.iter().map(|&axis| concrete.output[axis]).product())
    }
}

/// How two operands and the output lie as matrices.
struct Matrices {
    batch: usize,
    m: usize,
    n: usize,
    k: usize,
    /// Reads an operand as \[batch, m, k\] or \[batch, k, n\].
    operands: [Strided; 2],
    /// Reads \[batch, m, n\] as the output.
    result: Strided,
}

impl Matrices {
    fn new(concrete: &Concrete, product: &Product) -> Self {
        let [batch, m, n] = product.dims(concrete);
        let outer = |axes: &[usize], operand: usize| -> Vec<(usize, isize)> {
            let step = |&axis: &usize| (concrete.output[axis], concrete.strides[operand][0][axis] as isize);
            axes.iter().map(step).collect()
        };
        let inner = |operand: usize| -> Vec<(usize, isize)> {
            let steps = concrete.strides[operand][1].iter().map(|&step| step as isize);
            concrete.summed.iter().copied().zip(steps).collect()
        };
        let strided = |axes: Vec<(usize, isize)>| {
            let (shape, strides): (Vec<_>, Vec<_>) = axes.into_iter().unzip();
            Strided::new(&shape, strides, 0)
        };
        let left = [outer(&product.batch, 0), outer(&product.rows, 0), inner(0)].concat();
        let right = [outer(&product.batch, 1), inner(1), outer(&product.columns, 1)].concat();
        let order = [&product.batch[..], &product.rows, &product.columns].concat();
        let lying: Vec<usize> = order.iter().map(|&axis| concrete.output[axis]).collect();
        let mut steps = vec![0; order.len()];
        order
            .iter()
            .zip(signed_strides(&lying))
            .for_each(|(&axis, step)| steps[axis] = step);
        Self {
            batch,
            m,
            n,
            k: element_count(&concrete.summed),
            operands: [strided(left), strided(right)],
            result: Strided::new(&concrete.output, steps, 0),
        }
    }
}

impl<T: Compute> FloatKernel<T> for Floats {
    fn scratch(&self) -> usize {
        self.product.as_ref().map_or(0, |product| {
            let &Matrices { batch, m, n, k, .. } = product;
            let matrices = m
                .saturating_mul(k)
                .saturating_add(k.saturating_mul(n))
                .saturating_add(m.saturating_mul(n));
            matrices
                .saturating_mul(batch)
                .saturating_add(T::gemm_scratch(m, n, k))
        })
    }

    fn reads(&self, _path: Path, _input: usize) -> bool {
        true
    }

    fn run(&self, path: Path, inputs: &[Option<&[T]>], outputs: &mut [&mut [T]], scratch: &mut [T]) {
        let out = &mut *outputs[0];
        if let (Path::Fast, Some(product)) = (path, &self.product) {
            let &Matrices { batch, m, n, k, .. } = product;
            let (a, scratch) = scratch.split_at_mut(batch * m * k);
            let (b, scratch) = scratch.split_at_mut(batch * k * n);
            let (result, scratch) = scratch.split_at_mut(batch * m * n);
            product.operands[0].run(required(inputs, 0), a);
            product.operands[1].run(required(inputs, 1), b);
            for number in 0..batch {
                let a = Matrix::row_major(&a[number * m * k..][..m * k], k);
                let b = Matrix::row_major(&b[number * k * n..][..k * n], n);
                let out = &mut result[number * m * n..][..m * n];
                T::gemm([m, n, k], a, b, None, out, scratch);
            }
            return product.result.run(result, out);
        }
        let inputs: Vec<&[T]> = (0..inputs.len()).map(|index| required(inputs, index)).collect();
        self.concrete.each_output(|place, start| {
            let mut chain = T::ZERO;
            self.concrete.each_term(start, |at| {
                let mut factors = inputs.iter().zip(at).map(|(input, &at)| input[at]);
                chain = match (factors.next(), factors.next_back()) {
                    (Some(first), Some(last)) => {
                        factors.fold(first, |product, x| product * x).fma(last, chain)
                    }
                    (Some(only), None) => chain + only,
                    _ => chain,
                };
            });
            out[place] = chain.canonical();
        });
    }
}

/// Element types that multiply: all that [`NUMBERS`] lists, bools excepted.
const _: () = assert!(NUMBERS.len() == DType::ALL.len() - 1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations_are_read_or_refused() {
        let output = |text: &str| Equation::parse(text).map(|equation| equation.output);
        let letters = |text: &str| Some(text.bytes().map(Mark::Letter).collect::<Vec<_>>());
        assert_eq!(output("ij , jk -> ik"), letters("ik"));
        assert_eq!(output("bZ,Za"), letters("ab"));
        assert_eq!(output("ii"), letters(""));
        assert_eq!(output("...i"), Some(vec![Mark::Ellipsis, Mark::Letter(b'i')]));
        for wrong in ["ij->ii", "i->j", "i.j", "......", "i1", "i->j->k", "é"] {
            assert!(Equation::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn shapes_follow_from_letters() {
        let shape = |text: &str, shapes: &[&[usize]]| {
            Concrete::new(&Equation::parse(text).unwrap(), shapes)
                .map(|concrete| (concrete.output, concrete.summed))
                .ok()
        };
        assert_eq!(shape("ij,jk", &[&[2, 3], &[3, 4]]), Some((vec![2, 4], vec![3])));
        assert_eq!(
            shape("...ij,...jk->...ik", &[&[5, 2, 3], &[1, 3, 4]]),
            Some((vec![5, 2, 4], vec![3]))
        );
        assert_eq!(shape("ii->i", &[&[3, 3]]), Some((vec![3], vec![])));
        assert_eq!(shape("...->", &[&[3, 4]]), Some((vec![], vec![3, 4])));
        for (text, shapes) in [
            ("ij", &[&[2][..]][..]),
            ("i", &[&[2, 3]]),
            ("ij,jk", &[&[2, 3], &[2, 4]]),
            ("i", &[&[2], &[2]]),
        ] {
            assert_eq!(shape(text, shapes), None, "{text} of {shapes:?}");
        }
    }
}
