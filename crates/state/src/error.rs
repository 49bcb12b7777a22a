//! What can go wrong below the chain, one variant a cause, each saying what to do.

use alloy_primitives::B256;
use revm::database_interface::DBErrorMarker;
use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// A fault of the store. None of these is a verdict about a block: they mean that *this* node cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The database is locked by another process.
    #[error("another node uses this folder: {}; stop it or choose another data folder", path.display())]
    Locked {
        /// The data folder.
        path: PathBuf,
    },
    /// The disk (or quota) is full. Nothing of the block that was being written is kept.
    #[error("no space left on the disk that holds {}; free some and start the node again", path.display())]
    DiskFull {
        /// The data folder.
        path: PathBuf,
    },
    /// The operating system refused a read or write.
    #[error("cannot read or write {}: {source}", path.display())]
    Io {
        /// The data folder.
        path: PathBuf,
        /// The refusal.
        source: std::io::Error,
    },
    /// An earlier write failed, so the open database cannot be trusted until it is opened again.
    #[error("an earlier write to {} failed; start the node again to recover to its last whole block", path.display())]
    Poisoned {
        /// The data folder.
        path: PathBuf,
    },
    /// Bytes that this code cannot have written, or written bytes that are gone.
    #[error("the database in {} is damaged: {reason}; restore it from a backup or from peers", path.display())]
    Corrupt {
        /// The data folder.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The folder was written by another version of this code.
    #[error("the database in {} has layout {found}, this node needs {expected}", path.display())]
    Layout {
        /// The data folder.
        path: PathBuf,
        /// The layout found.
        found: u64,
        /// [`crate::LAYOUT`].
        expected: u64,
    },
    /// A trie node that a root commits to is not stored: the root is unknown here, or the database is damaged.
    #[error(
        "trie node {0} is not stored: the state it belongs to is unknown to this node, or the database is damaged"
    )]
    MissingNode(B256),
    /// A state that this node has forgotten.
    #[error(
        "the state of block {height} is pruned: this node has states from block {oldest} on; ask an archive node"
    )]
    Pruned {
        /// The height asked for.
        height: u64,
        /// The oldest height whose state is whole.
        oldest: u64,
    },
    /// An import into the folder was interrupted.
    #[error(
        "an import into {} did not come to its end: run `synod db import` again, or remove state.redb in it",
        path.display()
    )]
    Unfinished {
        /// The data folder.
        path: PathBuf,
    },
    /// An import into a folder that already has a chain.
    #[error("{} already has a chain, at block {height}: choose another folder", path.display())]
    NotEmpty {
        /// The data folder.
        path: PathBuf,
        /// Height of its head.
        height: u64,
    },
    /// The code that an account commits to is not stored.
    #[error("code {0} is not stored: the database is damaged")]
    MissingCode(B256),
    /// A trie node or account that does not decode.
    #[error("a trie node does not decode: {0}: the database is damaged")]
    BadNode(String),
    /// A block was offered for commit that does not follow the stored head.
    #[error("block {height} with parent {parent} does not follow the stored head {head_height} {head_hash}")]
    NotNext {
        /// Height offered.
        height: u64,
        /// Parent hash offered.
        parent: B256,
        /// Height stored.
        head_height: u64,
        /// Hash stored.
        head_hash: B256,
    },
    /// The store was asked to rewind to a block that it does not hold.
    #[error("cannot rewind to block {to}: the head is {head}")]
    NoSuchBlock {
        /// Height asked for.
        to: u64,
        /// Height stored.
        head: u64,
    },
}

impl DBErrorMarker for StateError {}

impl StateError {
    /// Names redb's errors; `path` is the data folder to show.
    pub(crate) fn from_redb(path: &Path, error: redb::Error) -> Self {
        let path = path.to_path_buf();
        match error {
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => Self::Locked { path },
            redb::Error::Io(source) => match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                    Self::DiskFull { path }
                }
                ErrorKind::InvalidData | ErrorKind::UnexpectedEof => Self::Corrupt {
                    path,
                    reason: source.to_string(),
                },
                _ => Self::Io { path, source },
            },
            redb::Error::PreviousIo => Self::Poisoned { path },
            other => Self::Corrupt {
                path,
                reason: other.to_string(),
            },
        }
    }
}
