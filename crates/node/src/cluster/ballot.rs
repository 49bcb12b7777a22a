//! Whether this data folder may vote.
//!
//! A validator must never contradict a vote that it has cast, and what it has cast stands in its journal. A validator with
//! an empty journal may only vote if it never voted before, and that no empty disk can know. So the right to vote for the
//! first time is a file that lies beside the key, made with it, and used up once:
//!
//! ```text
//!   keys made ──► first-vote exists
//!   first start: consensus/voter is written, durably; then first-vote is removed; then the first vote
//!   every start: consensus/voter names this key ──► the journal is here ──► vote
//!                neither file                   ──► the journal is lost ──► follow, and from the first epoch on that
//!                                                   began after this start: write consensus/voter ──► vote
//! ```
//!
//! What the key signed before its journal was lost was for epochs that had begun by then. An epoch that begins after this start
//! has seen no vote of it, and a journal of its own.
//!
//! A crash between the two steps leaves both files, which is harmless: the journal is here. A restored copy of the *key's*
//! folder from before the first start would bring `first-vote` back: a backup must not hold it (`docs/operations.md`).

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use synod_chain::Timestamp;
use synod_consensus::simplex::{Ballot, ValidatorKeys};

/// Name of the file beside the key that allows a first vote.
pub const FIRST_VOTE: &str = "first-vote";

/// Name of the file in the consensus folder that says whose journal it holds.
const VOTER: &str = "voter";

/// By how much the clocks of this node and of the cluster may differ.
const CLOCKS: Duration = Duration::from_secs(10);

/// Whether this data folder may vote.
#[derive(Debug)]
pub struct Votes {
    me: String,
    voter: PathBuf,
    /// Since when this node runs.
    started: Timestamp,
    /// Whether the journal of all votes since some epoch's beginning is here.
    remembered: Mutex<bool>,
}

/// A folder that cannot be used for voting.
#[derive(Debug, thiserror::Error)]
pub enum BallotError {
    /// Files.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The folder belongs to another validator.
    #[error(
        "{} holds the votes of validator {found}, but the key is of {expected}: use the data folder of this key, or an empty one",
        path.display()
    )]
    OtherValidator {
        /// The consensus folder.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose the key is.
        expected: String,
    },
}

/// Writes a file so that it survives a power cut.
fn write_durably(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(content)?;
    file.sync_all()?;
    sync_folder(path)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Allows the key in this folder its first vote.
///
/// # Errors
/// When the file cannot be written.
pub fn allow_first_vote(key_folder: &Path) -> io::Result<()> {
    write_durably(
        &key_folder.join(FIRST_VOTE),
        b"This key has never voted. Its first start removes this file. Do not back it up, do not copy it.\n",
    )
}

impl Votes {
    /// Looks what is on the disk, and notes a first vote that is allowed.
    ///
    /// # Errors
    /// When files cannot be read or written, or the folder is another validator's.
    pub fn open(keys: &ValidatorKeys, key_file: &Path, consensus: &Path) -> Result<Self, BallotError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| BallotError::Io { path, source }
        };
        let me = keys.identity().to_string();
        let voter = consensus.join(VOTER);
        let first = key_file.with_file_name(FIRST_VOTE);
        let remembered = match fs::read_to_string(&voter) {
            Ok(found) if found.trim() == me => {
                remove(&first).map_err(io(&first))?;
                true
            }
            Ok(found) => {
                return Err(BallotError::OtherValidator {
                    path: consensus.to_owned(),
                    found: found.trim().to_owned(),
                    expected: me,
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let allowed = first.exists();
                if allowed {
                    note(&voter, &me).map_err(io(&voter))?;
                    remove(&first).map_err(io(&first))?;
                }
                allowed
            }
            Err(error) => return Err(io(&voter)(error)),
        };
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            me,
            voter,
            started: Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
            remembered: Mutex::new(remembered),
        })
    }

    /// Whether the node votes already in the epoch that runs.
    #[must_use]
    pub fn remembered(&self) -> bool {
        *self.remembered.lock()
    }
}

impl Ballot for Votes {
    fn may_vote(&self, epoch: u64, began: Timestamp) -> bool {
        let mut remembered = self.remembered.lock();
        let margin = u64::try_from(CLOCKS.as_millis()).unwrap_or(u64::MAX);
        if !*remembered && began.0 > self.started.0.saturating_add(margin) {
            match note(&self.voter, &self.me) {
                Ok(()) => {
                    tracing::info!(
                        epoch,
                        "an epoch begins in which this key has never voted: this node votes again"
                    );
                    *remembered = true;
                }
                Err(error) => {
                    let path = self.voter.display();
                    tracing::error!(%path, %error, "cannot note that this node votes again, so it does not");
                }
            }
        }
        *remembered
    }
}

/// Notes durably that this folder holds the journal.
fn note(voter: &Path, me: &str) -> io::Result<()> {
    if let Some(folder) = voter.parent() {
        fs::create_dir_all(folder)?;
        sync_folder(folder)?;
    }
    write_durably(voter, format!("{me}\n").as_bytes())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => sync_folder(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;
    use commonware_utils::sys_rng;
    use tempfile::TempDir;

    fn open(keys: &ValidatorKeys, folder: &Path) -> Votes {
        Votes::open(keys, &folder.join("validator.key"), &folder.join("consensus")).unwrap()
    }

    #[test]
    fn a_first_vote_is_allowed_once() {
        let folder = TempDir::new().unwrap();
        let keys = ValidatorKeys::random(&mut sys_rng());
        assert!(
            !open(&keys, folder.path()).remembered(),
            "nobody allowed a first vote"
        );
        allow_first_vote(folder.path()).unwrap();
        assert!(open(&keys, folder.path()).remembered());
        assert!(!folder.path().join(FIRST_VOTE).exists(), "used up");
        assert!(open(&keys, folder.path()).remembered(), "with its journal");
        fs::remove_dir_all(folder.path().join("consensus")).unwrap();
        assert!(!open(&keys, folder.path()).remembered(), "the journal is lost");
    }

    #[test]
    fn a_lost_journal_does_not_matter_in_an_epoch_that_is_younger() {
        let folder = TempDir::new().unwrap();
        let keys = ValidatorKeys::random(&mut sys_rng());
        let votes = open(&keys, folder.path());
        assert!(
            !votes.may_vote(3, Timestamp(votes.started.0 - 1)),
            "it may have voted in it"
        );
        let soon = Timestamp(votes.started.0 + 1000);
        assert!(!votes.may_vote(4, soon), "clocks differ by more");
        assert!(!open(&keys, folder.path()).remembered(), "nothing was noted");
        let later = Timestamp(votes.started.0 + 60_000);
        assert!(votes.may_vote(5, later));
        assert!(votes.may_vote(6, Timestamp(0)), "once and for all");
        assert!(open(&keys, folder.path()).remembered(), "and after a restart");
    }

    #[test]
    fn a_crash_between_the_two_steps_does_no_harm() {
        let folder = TempDir::new().unwrap();
        let keys = ValidatorKeys::random(&mut sys_rng());
        allow_first_vote(folder.path()).unwrap();
        assert!(open(&keys, folder.path()).remembered());
        // As if the crash came before the removal.
        allow_first_vote(folder.path()).unwrap();
        assert!(open(&keys, folder.path()).remembered());
        assert!(!folder.path().join(FIRST_VOTE).exists());
    }

    #[test]
    fn a_folder_belongs_to_one_validator() {
        let folder = TempDir::new().unwrap();
        let (key, data) = (
            folder.path().join("validator.key"),
            folder.path().join("consensus"),
        );
        allow_first_vote(folder.path()).unwrap();
        Votes::open(&ValidatorKeys::random(&mut sys_rng()), &key, &data).unwrap();
        let other = ValidatorKeys::random(&mut sys_rng());
        assert!(matches!(
            Votes::open(&other, &key, &data),
            Err(BallotError::OtherValidator { .. })
        ));
    }
}
