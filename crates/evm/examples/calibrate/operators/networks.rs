//! Operators that are small networks of their own: recurrence, attention, normalisations of newer opsets.

use super::{Case, attr_int, node};

/// All of them.
pub(super) fn all(cases: &mut Vec<Case>) {
    recurrence(cases);
}

fn recurrence(cases: &mut Vec<Case>) {
    for (operator, gates) in [("LSTM", 4), ("GRU", 3), ("RNN", 1)] {
        // steps, batch, input, hidden: an ordinary one, one step at a time, long and thin, wide, a single element
        for [steps, batch, input, hidden] in [
            [64, 1, 128, 128],
            [1, 1, 128, 128],
            [512, 1, 8, 1],
            [16, 33, 64, 64],
            [4, 4, 512, 512],
            [256, 256, 1, 1],
        ] {
            let rows = gates * hidden;
            let weighted = || {
                node(operator)
                    .input(&[steps, batch, input])
                    .weights(&[1, rows, input])
                    .weights(&[1, rows, hidden])
                    .weights(&[1, 2 * rows])
            };
            cases.push(weighted().case());
            cases.push(
                node(operator)
                    .input(&[steps, batch, input])
                    .input(&[1, rows, input])
                    .input(&[1, rows, hidden])
                    .case(),
            );
            if operator == "GRU" {
                cases.push(
                    weighted()
                        .attribute(attr_int("linear_before_reset", 1), "linear before reset")
                        .case(),
                );
            }
        }
    }
}
