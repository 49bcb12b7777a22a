//! Which processors a node and the generator of its load run on.
//!
//! A generator on the same machine takes of the cores what the node could have used, and the cheaper a request is to the node,
//! the more of what is measured is the generator. With a core for each the node is what limits the rate, as it would be with
//! clients on other machines.

use eyre::{Result, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use synod_testing::Node;

/// What the reader of a report has to know of it.
pub(crate) const EXPLAINED: &str = "The node and the generator share two cores, of which the generator takes what the node could have \
     used; or (*a core each*) the node has one for itself and the generator, which never sleeps, the other: as if the requests came \
     from elsewhere.";

/// How the cores are shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cores {
    /// The system shares out two cores as it likes.
    Shared,
    /// The first one is the node's, the second one the generator's.
    OneEach,
}

impl Cores {
    pub(crate) const ALL: [Self; 2] = [Self::Shared, Self::OneEach];

    /// Moves all threads of a node to the cores that are its; those that it starts later follow.
    pub(crate) fn give_to(self, node: &Node) -> Result<()> {
        let mine = self.set(0)?;
        for thread in node.threads()? {
            match sched_setaffinity(Some(thread), &mine) {
                // It ended since it was listed.
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Moves this thread to the cores that are the generator's.
    pub(crate) fn take(self) -> Result<()> {
        Ok(sched_setaffinity(None, &self.set(1)?)?)
    }

    fn set(self, place: usize) -> Result<CpuSet> {
        let allowed = allowed()?;
        ensure!(allowed.len() >= 2, "the node and its load want two processors");
        let mut set = CpuSet::new();
        match self {
            Self::Shared => allowed[..2].iter().for_each(|core| set.set(*core)),
            Self::OneEach => set.set(allowed[place]),
        }
        Ok(set)
    }
}

/// The processors that this program may use. Of its main thread, which is never moved.
fn allowed() -> Result<Vec<usize>> {
    let set = sched_getaffinity(Some(rustix::process::getpid()))?;
    Ok((0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect())
}
