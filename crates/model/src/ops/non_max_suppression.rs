//! NonMaxSuppression: of boxes that overlap, those with the highest scores. ONNX `NonMaxSuppression`, opsets 10 and 11.
//!
//! For each image and class, boxes whose score is above the threshold, if one is given, are visited by descending score, of
//! equal scores the lower index first; boxes with a NaN as score never. A box is selected unless its overlap with one selected
//! before is above the threshold, until there are as many as wanted. The arithmetic is that of f32, one rounding an operation,
//! in the order written in [`Corners::overlaps`].

use super::{
    DType, DataDependent, Definition, Extent, Inputs, OpError, Path, TensorType, Work,
    late::{Late, bytes_of},
};
use crate::Tensor;

/// `NonMaxSuppression`
pub(super) const NON_MAX_SUPPRESSION: Definition = Definition {
    name: "NonMaxSuppression",
    since: &[10, 11],
    inputs: 2..=5,
    outputs: 1..=1,
    parse: |node| {
        let centers = node.attributes.flag("center_point_box", false)?;
        Ok(Box::new(Late(NonMaxSuppression { centers })))
    },
};

#[derive(Debug)]
struct NonMaxSuppression {
    /// Boxes are written as centre and size instead of two corners.
    centers: bool,
}

/// Images, classes, boxes.
struct Sizes {
    images: usize,
    classes: usize,
    boxes: usize,
}

fn sizes(boxes: &[usize], scores: &[usize]) -> Result<Sizes, OpError> {
    match (boxes, scores) {
        (&[images, boxes, 4], &[of_images, classes, of_boxes])
            if images == of_images && boxes == of_boxes =>
        {
            Ok(Sizes {
                images,
                classes,
                boxes,
            })
        }
        _ => Err(OpError::Shape(format!(
            "boxes {boxes:?} and scores {scores:?} are not [images, boxes, 4] and [images, classes, boxes]"
        ))),
    }
}

/// The operator's inputs.
struct Task<'t> {
    sizes: Sizes,
    boxes: &'t [f32],
    scores: &'t [f32],
    /// Boxes of a class at most.
    most: usize,
    overlap: f32,
    score: Option<f32>,
}

impl<'t> Task<'t> {
    fn new(inputs: &[Option<&'t Tensor>]) -> Result<Self, OpError> {
        let given = |index: usize| inputs.get(index).copied().flatten();
        let required = |index: usize| given(index).ok_or(OpError::MissingInput { index });
        let (boxes, scores) = (required(0)?, required(1)?);
        let number = |index: usize| given(index).map(|value| value.as_slice::<f32>()[0]);
        let most = given(2).map_or(0, |value| value.as_slice::<i64>()[0]);
        Ok(Self {
            sizes: sizes(boxes.shape(), scores.shape())?,
            boxes: boxes.as_slice(),
            scores: scores.as_slice(),
            most: usize::try_from(most).unwrap_or(0),
            overlap: number(3).unwrap_or(0.0),
            score: number(4),
        })
    }

    /// Number of an image's class, and its scores.
    fn classes(&self) -> impl Iterator<Item = (usize, &'t [f32])> + '_ {
        let classes = self.sizes.images * self.sizes.classes;
        (0..classes).map(|class| {
            (
                class,
                &self.scores[class * self.sizes.boxes..][..self.sizes.boxes],
            )
        })
    }

    fn is_candidate(&self, score: f32) -> bool {
        !score.is_nan() && self.score.is_none_or(|threshold| score > threshold)
    }
}

/// A box by its corners.
#[derive(Clone, Copy)]
struct Corners {
    y: [f32; 2],
    x: [f32; 2],
}

fn lesser(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

fn greater(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

impl Corners {
    fn new(written: &[f32], centers: bool) -> Self {
        let [a, b, c, d] = [written[0], written[1], written[2], written[3]];
        if centers {
            let (half_width, half_height) = (c / 2.0, d / 2.0);
            Self {
                y: [b - half_height, b + half_height],
                x: [a - half_width, a + half_width],
            }
        } else {
            Self {
                y: [lesser(a, c), greater(a, c)],
                x: [lesser(b, d), greater(b, d)],
            }
        }
    }

    fn area(&self) -> f32 {
        (self.x[1] - self.x[0]) * (self.y[1] - self.y[0])
    }

    /// Whether intersection over union is above the threshold.
    fn overlaps(&self, other: &Self, threshold: f32) -> bool {
        let x = [greater(self.x[0], other.x[0]), lesser(self.x[1], other.x[1])];
        let y = [greater(self.y[0], other.y[0]), lesser(self.y[1], other.y[1])];
        if x[1] <= x[0] || y[1] <= y[0] {
            return false;
        }
        let intersection = (x[1] - x[0]) * (y[1] - y[0]);
        let (area, other_area) = (self.area(), other.area());
        let union = area + other_area - intersection;
        if intersection <= 0.0 || area <= 0.0 || other_area <= 0.0 || union <= 0.0 {
            return false;
        }
        intersection / union > threshold
    }
}

/// Multiply-add equivalents of comparing two boxes.
const PER_PAIR: u64 = 120;

/// How often boxes are compared at most: each candidate with all that were selected before it, until `most` are.
fn pairs(candidates: u64, most: u64) -> u64 {
    let while_selecting = most.saturating_mul(most.saturating_sub(1)) / 2;
    let rest = candidates
        .saturating_sub(most)
        .saturating_mul(most.saturating_sub(1));
    while_selecting.saturating_add(rest)
}

impl DataDependent for NonMaxSuppression {
    fn work(&self, inputs: &Inputs<'_>) -> Result<Work, OpError> {
        let boxes = inputs.of_types(0, &[DType::F32])?;
        let scores = inputs.of_types(1, &[DType::F32])?;
        sizes(boxes.shape, scores.shape)?;
        for (index, dtype) in [(2, DType::I64), (3, DType::F32), (4, DType::F32)] {
            if let Some(operand) = inputs.optional(index) {
                inputs.like(index, dtype)?;
                if operand.elements() != 1 {
                    return Err(OpError::Shape(format!("input {index} is not one number")));
                }
            }
        }
        Ok(Work {
            arithmetic: (scores.elements() as u64)
                .saturating_mul(60)
                .saturating_add(1_000),
            bytes: bytes_of(inputs),
        })
    }

    fn extent(&self, inputs: &[Option<&Tensor>]) -> Result<Extent, OpError> {
        let task = Task::new(inputs)?;
        let (mut arithmetic, mut selected, mut largest) = (0u64, 0usize, 0usize);
        for (_, scores) in task.classes() {
            let candidates = scores.iter().filter(|&&score| task.is_candidate(score)).count();
            let most = candidates.min(task.most);
            let levels = u64::from(u64::BITS - (candidates as u64).leading_zeros()) + 4;
            // Sorting, and every candidate against every box that may have been selected.
            arithmetic = arithmetic
                .saturating_add(scores.len() as u64 * 60 + 2_000)
                .saturating_add((candidates as u64).saturating_mul(levels * 160 + 600))
                .saturating_add(pairs(candidates as u64, most as u64).saturating_mul(PER_PAIR));
            selected = selected.saturating_add(most);
            largest = largest.max(candidates);
        }
        let result = TensorType::new(DType::I64, vec![selected, 3])?;
        Ok(Extent {
            work: Work {
                arithmetic,
                bytes: (task.scores.len() as u64 * 4).saturating_add(result.bytes() as u64),
            },
            // Candidates with their scores, corners of what is selected, and the result, which grows.
            memory: (largest as u64 * 40).saturating_add(3 * result.bytes() as u64),
        })
    }

    fn evaluate(&self, inputs: &[Option<&Tensor>], _: Path) -> Result<Vec<Tensor>, OpError> {
        let task = Task::new(inputs)?;
        let mut result: Vec<i64> = Vec::new();
        for (class, scores) in task.classes() {
            let (image, class) = (class / task.sizes.classes, class % task.sizes.classes);
            let boxes = &task.boxes[image * task.sizes.boxes * 4..][..task.sizes.boxes * 4];
            let mut candidates: Vec<(f32, usize)> = scores
                .iter()
                .copied()
                .enumerate()
                .filter(|&(_, score)| task.is_candidate(score))
                .map(|(index, score)| (score, index))
                .collect();
            // No NaN is among them; stable, so of equals the lower index comes first.
            candidates.sort_by(|(a, _), (b, _)| b.partial_cmp(a).unwrap_or(std::cmp::Ordering::Equal));
            let mut selected: Vec<Corners> = Vec::new();
            for (_, index) in candidates {
                if selected.len() >= task.most {
                    break;
                }
                let corners = Corners::new(&boxes[4 * index..][..4], self.centers);
                if selected.iter().any(|other| corners.overlaps(other, task.overlap)) {
                    continue;
                }
                selected.push(corners);
                result.extend([image as i64, class as i64, index as i64]);
            }
        }
        let shape = [result.len() / 3, 3];
        let tensor = Tensor::from_slice(DType::I64, &shape, &result);
        Ok(vec![tensor.map_err(|error| OpError::Shape(error.to_string()))?])
    }
}
