//! The memory of a run, kept for the next one.

use crate::tensor::Buffer;
use std::sync::{Mutex, PoisonError};

/// The most that a plan keeps between runs.
const KEPT_BYTES: usize = 64 << 20;
/// The most workspaces that a plan keeps: as many runs at the same time find one.
const KEPT: usize = 4;

/// Slots and scratch memory of one run, with leftovers of earlier runs in them.
pub(crate) struct Workspace {
    pub(super) slots: Vec<Buffer>,
    /// Empty, or as long as the plan's.
    pub(super) scratch: Buffer,
}

/// Workspaces of one plan that wait for a run.
pub(super) struct Workspaces {
    slots: Vec<usize>,
    scratch: usize,
    waiting: Mutex<Vec<Workspace>>,
}

impl Workspaces {
    pub(super) fn new(slots: Vec<usize>, scratch: usize) -> Self {
        Self {
            slots,
            scratch,
            waiting: Mutex::new(Vec::new()),
        }
    }

    /// Bytes of one workspace.
    fn bytes(&self) -> usize {
        self.slots
            .iter()
            .fold(self.scratch, |sum, &slot| sum.saturating_add(slot))
    }

    /// How many are kept: none that would take more than [`KEPT_BYTES`].
    fn kept(&self) -> usize {
        (KEPT_BYTES / self.bytes().max(1)).min(KEPT)
    }

    /// Bytes that waiting workspaces may take.
    pub(super) fn kept_bytes(&self) -> usize {
        self.kept() * self.bytes()
    }

    /// A workspace that waits, else a new one.
    pub(super) fn take(&self) -> Workspace {
        // a panic while the lock is held leaves the list as it was
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
        waiting.unwrap_or_else(|| self.make())
    }

    /// A new workspace.
    pub(super) fn make(&self) -> Workspace {
        Workspace {
            slots: self.slots.iter().map(|&bytes| Buffer::zeroed(bytes)).collect(),
            scratch: Buffer::zeroed(self.scratch),
        }
    }

    /// Keeps a workspace for the next run, if there is room.
    pub(super) fn give_back(&self, workspace: Workspace) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < self.kept() {
            waiting.push(workspace);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_workspaces_are_kept_and_huge_ones_are_not() {
        let small = Workspaces::new(vec![64, 128], 10);
        let taken: Vec<_> = (0..KEPT + 2).map(|_| small.take()).collect();
        assert!(
            taken
                .iter()
                .all(|w| w.slots[1].bytes().len() == 128 && w.scratch.bytes().len() == 10)
        );
        taken.into_iter().for_each(|workspace| small.give_back(workspace));
        assert_eq!(small.waiting.lock().unwrap().len(), KEPT);
        assert_eq!(small.kept_bytes(), KEPT * 202);
        let huge = Workspaces::new(vec![], KEPT_BYTES + 1);
        huge.give_back(Workspace {
            slots: vec![],
            scratch: Buffer::default(),
        });
        assert!(huge.waiting.lock().unwrap().is_empty());
    }
}
