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
//!                neither file                   ──► the journal is lost ──► follow
//! ```
//!
//! A crash between the two steps leaves both files, which is harmless: the journal is here. A restored copy of the *key's*
//! folder from before the first start would bring `first-vote` back: a backup must not hold it (`docs/operations.md`).

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use synod_consensus::simplex::ValidatorKeys;

/// Name of the file beside the key that allows a first vote.
pub const FIRST_VOTE: &str = "first-vote";

/// Name of the file in the consensus folder that says whose journal it holds.
const VOTER: &str = "voter";

/// What a data folder allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ballot {
    /// To vote: the journal of all earlier votes is here, or there were none.
    Vote,
    /// Only to follow: this key has voted before, and its journal is not here.
    Follow,
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

/// Decides whether a validator may vote with what is on its disk, and notes that it does.
///
/// # Errors
/// When files cannot be read or written, or the folder is another validator's.
pub fn claim(keys: &ValidatorKeys, key_file: &Path, consensus: &Path) -> Result<Ballot, BallotError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| BallotError::Io { path, source }
    };
    let me = keys.identity().to_string();
    let voter = consensus.join(VOTER);
    let first = key_file.with_file_name(FIRST_VOTE);
    match fs::read_to_string(&voter) {
        Ok(found) if found.trim() == me => {
            remove(&first).map_err(io(&first))?;
            Ok(Ballot::Vote)
        }
        Ok(found) => Err(BallotError::OtherValidator {
            path: consensus.to_owned(),
            found: found.trim().to_owned(),
            expected: me,
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if !first.exists() {
                return Ok(Ballot::Follow);
            }
            fs::create_dir_all(consensus).map_err(io(consensus))?;
            write_durably(&voter, format!("{me}\n").as_bytes()).map_err(io(&voter))?;
            sync_folder(consensus).map_err(io(consensus))?;
            remove(&first).map_err(io(&first))?;
            Ok(Ballot::Vote)
        }
        Err(error) => Err(io(&voter)(error)),
    }
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

    #[test]
    fn a_key_votes_first_once_and_then_only_with_its_journal() {
        let folder = TempDir::new().unwrap();
        let (key, data) = (
            folder.path().join("validator.key"),
            folder.path().join("data/consensus"),
        );
        let keys = ValidatorKeys::random(&mut sys_rng());
        assert_eq!(
            claim(&keys, &key, &data).unwrap(),
            Ballot::Follow,
            "nobody allowed a first vote"
        );
        allow_first_vote(folder.path()).unwrap();
        assert_eq!(claim(&keys, &key, &data).unwrap(), Ballot::Vote);
        assert!(!folder.path().join(FIRST_VOTE).exists(), "used up");
        assert_eq!(
            claim(&keys, &key, &data).unwrap(),
            Ballot::Vote,
            "with its journal"
        );
        fs::remove_dir_all(&data).unwrap();
        assert_eq!(
            claim(&keys, &key, &data).unwrap(),
            Ballot::Follow,
            "the journal is lost"
        );
    }

    #[test]
    fn a_crash_between_the_two_steps_does_no_harm() {
        let folder = TempDir::new().unwrap();
        let (key, data) = (
            folder.path().join("validator.key"),
            folder.path().join("consensus"),
        );
        let keys = ValidatorKeys::random(&mut sys_rng());
        allow_first_vote(folder.path()).unwrap();
        assert_eq!(claim(&keys, &key, &data).unwrap(), Ballot::Vote);
        // As if the crash came before the removal.
        allow_first_vote(folder.path()).unwrap();
        assert_eq!(claim(&keys, &key, &data).unwrap(), Ballot::Vote);
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
        claim(&ValidatorKeys::random(&mut sys_rng()), &key, &data).unwrap();
        let other = ValidatorKeys::random(&mut sys_rng());
        assert!(matches!(
            claim(&other, &key, &data),
            Err(BallotError::OtherValidator { .. })
        ));
    }
}
