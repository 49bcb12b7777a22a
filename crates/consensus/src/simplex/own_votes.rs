//! Whether this node remembers its own votes.
//!
//! A node whose disk is an old copy has a journal, but not of all its votes; a node whose disk was cloned shares its key
//! with another. Both show the same way: a certificate that holds this node's signature for a view in which this node, by
//! its journal and its memory, did not vote.
//!
//! simplex reports each own vote once it is durable, and at a start those that its journal still holds: an unbroken range up
//! to the last one. Of views below that range nothing can be said. Within it and above, a signature that is not remembered
//! is one too many.

use parking_lot::Mutex;
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// How long a vote may take from the certificate back to its own report.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// The rounds in which this node voted to finalize: epoch, and view in it.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnVotes(Arc<Mutex<BTreeSet<(u64, u64)>>>);

impl OwnVotes {
    /// Rounds remembered at most.
    const KEPT: usize = 1 << 16;

    /// This node voted.
    pub(super) fn cast(&self, epoch: u64, view: u64) {
        let mut rounds = self.0.lock();
        rounds.insert((epoch, view));
        if rounds.len() > Self::KEPT {
            rounds.pop_first();
        }
    }

    /// Whether a vote in a round is one that this node should remember and does not.
    pub(super) fn forgotten(&self, epoch: u64, view: u64) -> bool {
        let (rounds, round) = (self.0.lock(), (epoch, view));
        rounds.first().is_some_and(|first| *first < round) && !rounds.contains(&round)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_gap_is_suspicious() {
        let votes = OwnVotes::default();
        assert!(!votes.forgotten(3, 5), "nothing is known");
        for view in [10, 11, 12, 20] {
            votes.cast(3, view);
        }
        assert!(!votes.forgotten(3, 5), "before what the journal holds");
        assert!(!votes.forgotten(2, 99), "an earlier epoch");
        assert!(!votes.forgotten(3, 12));
        assert!(votes.forgotten(3, 15), "between the old journal and the present");
        assert!(votes.forgotten(3, 21));
        assert!(votes.forgotten(4, 1), "a later epoch");
    }
}
