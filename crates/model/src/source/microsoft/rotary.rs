//! `RotaryEmbedding`: pairs of a head's elements turned by angles, whose cosines and sines lie in tables, a row for each position.
//!
//! The rows are three dimensions with heads side by side, or four with heads before rows. Which of the two shows in the rank, which planning
//! knows; shapes are computed from it.

use super::{Operator, body::*, operator};

/// What is known of these, by name.
pub(super) const OPERATORS: &[Operator] = &[operator(
    "RotaryEmbedding",
    4..=4,
    &[
        "interleaved",
        "is_packed_batching",
        "num_heads",
        "rotary_embedding_dim",
        "scale",
    ],
    |body| {
        if body.float("scale").is_some_and(|scale| scale != 1.0) {
            return Err("attribute `scale` is not supported".into());
        }
        body.only("is_packed_batching", 0)?;
        let shape = body.node("Shape", &["0"], []);
        let (one, three) = (body.numbers(&[1]), body.numbers(&[3]));
        let rank = body.rank("0");
        // 0 or 1
        let apart = body.node("Sub", &[&rank, &three], []);
        // b if heads are apart, else a
        let either = |body: &mut Body<'_>, a: &str, b: &str| {
            let more = body.node("Sub", &[b, a], []);
            let more = body.node("Mul", &[&more, &apart], []);
            body.node("Add", &[a, &more], [])
        };
        let is_whole = body.int("rotary_embedding_dim").unwrap_or(0) == 0;
        let half = body.size("2", 1);
        let elements = if is_whole {
            body.node("Add", &[&half, &half], [])
        } else {
            let heads = body.count("num_heads")?;
            let heads = body.numbers(&[heads]);
            let parts = either(body, &heads, &one);
            let last = body.size("0", -1);
            body.node("Div", &[&last, &parts], [])
        };
        let kept = body.numbers(&[0, 0, -1]);
        let x = body.reshaped_to("0", &[&kept, &elements]);

        let axis = body.node("Add", &[&apart, &one], []);
        let rows = body.node("Gather", &[&shape, &axis], []);
        // one position is that of the first row
        let ids = body.rank("1");
        let is_first = body.node("Equal", &[&ids, &one], []);
        let is_first = body.node("Cast", &[&is_first], [int("to", INT64)]);
        let places = body.range(&rows);
        let places = body.node("Mul", &[&places, &is_first], []);
        let positions = body.node("Add", &["1", &places], []);
        let (first, second) = (either(body, &rows, &one), either(body, &one, &rows));
        let any = body.numbers(&[-1]);
        let [cosines, sines] = ["2", "3"].map(|table| {
            let picked = body.node("Gather", &[table, &positions], []);
            body.reshaped_to(&picked, &[&any, &first, &second, &half])
        });
        let turning = Turning {
            is_interleaved: body.int("interleaved").unwrap_or(0) != 0,
            is_whole,
        };
        let y = body.turned(&x, &Angles { cosines, sines }, turning);
        Ok(vec![body.node("Reshape", &[&y, &shape], [])])
    },
)];

/// Cosines and sines of the shape of what they turn, but for sizes that are one.
pub(super) struct Angles {
    cosines: String,
    sines: String,
}

impl Angles {
    /// Of positions [batch, rows], for heads of rows.
    pub(super) fn at(body: &mut Body<'_>, positions: &str, cosines: &str, sines: &str) -> Self {
        let [cosines, sines] = [cosines, sines].map(|table| {
            let picked = body.node("Gather", &[table, positions], []);
            body.with_axis(&picked, 1)
        });
        Self { cosines, sines }
    }
}

/// Which elements turn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turning {
    /// Whether an element's partner is its neighbour, not the one half of them further.
    pub(super) is_interleaved: bool,
    /// Whether there are angles for all elements; the rest of them stays.
    pub(super) is_whole: bool,
}

impl Body<'_> {
    /// Four dimensions, the last of which turns.
    pub(super) fn turned(&mut self, x: &str, angles: &Angles, turning: Turning) -> String {
        let half = self.size(&angles.cosines, 3);
        let whole = self.node("Add", &[&half, &half], []);
        let (zero, end) = (self.numbers(&[0]), self.numbers(&[i64::MAX]));
        let turns = if turning.is_whole {
            x.to_owned()
        } else {
            self.part(x, 3, &zero, &whole)
        };
        let [a, b] = if turning.is_interleaved {
            let pairs = self.reshaped(&turns, &[0, 0, 0, -1, 2]);
            [0, 1].map(|part| self.at(&pairs, 4, part))
        } else {
            [(&zero, &half), (&half, &whole)].map(|(from, to)| self.part(&turns, 3, from, to))
        };
        let mut product = |x: &str, angles: &str| self.node("Mul", &[x, angles], []);
        let (ac, bs) = (product(&a, &angles.cosines), product(&b, &angles.sines));
        let (a_s, bc) = (product(&a, &angles.sines), product(&b, &angles.cosines));
        let mut turned = [
            self.node("Sub", &[&ac, &bs], []),
            self.node("Add", &[&a_s, &bc], []),
        ];
        let y = if turning.is_interleaved {
            turned = turned.map(|part| self.with_axis(&part, 4));
            let pairs = self.joined(&[&turned[0], &turned[1]], 4);
            self.reshaped(&pairs, &[0, 0, 0, -1])
        } else {
            self.joined(&[&turned[0], &turned[1]], 3)
        };
        if turning.is_whole {
            return y;
        }
        let rest = self.part(x, 3, &whole, &end);
        self.joined(&[&y, &rest], 3)
    }
}
