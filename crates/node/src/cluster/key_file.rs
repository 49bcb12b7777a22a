//! The file of a validator's keys, in the clear or encrypted.
//!
//! In the clear it is one line of hexadecimal digits. Encrypted it is that line as an [age](https://age-encryption.org/v1)
//! file for a passphrase (scrypt, ChaCha20-Poly1305) in its text form, so that `age --decrypt validator.key` opens it with
//! no help from Synod. Either way only its owner may read it.
//!
//! The passphrase never stands on a command line, where every user of the machine could read it. It comes from, in this
//! order:
//!
//! ```text
//!   passphrase_file in node.toml ─► $SYNOD_KEY_PASSPHRASE_FILE ─► $CREDENTIALS_DIRECTORY/key-passphrase (systemd) ─► a person
//! ```

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use age::{DecryptError, scrypt, secrecy::SecretString};
use alloy_primitives::hex;
use synod_consensus::simplex::{KeysError, ValidatorKeys};

/// Names the file of the passphrase.
pub const PASSPHRASE_FILE_VARIABLE: &str = "SYNOD_KEY_PASSPHRASE_FILE";

/// systemd's name for the passphrase: `LoadCredential=key-passphrase:…`.
const CREDENTIAL: &str = "key-passphrase";

/// How an encrypted file begins.
const ENCRYPTED: &str = "-----BEGIN AGE ENCRYPTED FILE-----";

/// Binary logarithm of scrypt's cost: about a second and 256 MiB of memory for each guess.
const WORK: u8 = 18;

/// The most work that a file may ask for: sixteen times as much.
const MOST_WORK: u8 = 22;

/// What opens encrypted keys. It is not shown by `Debug` and its memory is cleared when it is dropped.
#[derive(Clone, Debug)]
pub struct Passphrase(SecretString);

impl Passphrase {
    /// A passphrase; `None` if it is empty.
    #[must_use]
    pub fn new(text: String) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.into()))
    }

    /// The first line of a file that the rest of the machine may not read.
    ///
    /// # Errors
    /// When it cannot be read, is empty, or everybody may read it.
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        let io = |source| KeyFileError::PassphraseFile {
            path: path.to_owned(),
            source,
        };
        #[cfg(unix)]
        {
            // Of the group nothing is said: systemd lends credentials by access lists, which show there.
            let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(path).map_err(io)?) & 0o777;
            if mode & 0o007 != 0 {
                let path = path.to_owned();
                return Err(KeyFileError::OpenPassphrase { path, mode });
            }
        }
        let text = fs::read_to_string(path).map_err(io)?;
        let line = text.lines().next().unwrap_or_default().to_owned();
        Self::new(line).ok_or_else(|| {
            io(io::Error::new(
                io::ErrorKind::InvalidData,
                "its first line is empty",
            ))
        })
    }

    /// The passphrase that somebody has laid ready: the configuration, the environment, or systemd.
    ///
    /// # Errors
    /// When a file is named and cannot be used.
    pub fn laid_ready(configured: Option<&Path>) -> Result<Option<Self>, KeyFileError> {
        let named = || std::env::var_os(PASSPHRASE_FILE_VARIABLE).map(PathBuf::from);
        let credential = || {
            let folder = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)?;
            Some(folder.join(CREDENTIAL)).filter(|path| path.exists())
        };
        let path = configured.map(Path::to_owned).or_else(named).or_else(credential);
        path.map(|path| Self::read(&path)).transpose()
    }
}

/// Asks a person for the passphrase of this file; `None` if there is nobody to ask.
pub type Ask<'a> = &'a dyn Fn(&Path) -> io::Result<Option<Passphrase>>;

/// A key file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read or written.
    #[error("cannot use the key file {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others may read it.
    #[error("the key file {} can be read by others (mode {mode:o}); run: chmod 600 {}", path.display(), path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It does not hold keys.
    #[error("the key file {} is not one that `synod cluster init` made: {source}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: KeysError,
    },
    /// It is encrypted, and there is no passphrase.
    #[error(
        "the key file {} is encrypted: set passphrase_file in node.toml or {PASSPHRASE_FILE_VARIABLE}, give systemd's credential \
         {CREDENTIAL:?}, or start on a terminal",
        path.display()
    )]
    NoPassphrase {
        /// The file.
        path: PathBuf,
    },
    /// The passphrase is another one.
    #[error("the key file {} does not open with this passphrase", path.display())]
    WrongPassphrase {
        /// The file.
        path: PathBuf,
    },
    /// It is encrypted, but not whole, or not for a passphrase.
    #[error("the key file {} is encrypted, but damaged or not for a passphrase: {source}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<DecryptError>,
    },
    /// The passphrase's file cannot be read.
    #[error("cannot read the passphrase from {}: {source}", path.display())]
    PassphraseFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Everybody may read the passphrase.
    #[error("everybody can read the passphrase in {} (mode {mode:o}); run: chmod 600 {}", path.display(), path.display())]
    OpenPassphrase {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

/// What a key file holds for these keys.
fn content(keys: &ValidatorKeys, passphrase: Option<&Passphrase>) -> io::Result<String> {
    let line = hex::encode(keys.to_bytes()) + "\n";
    let Some(Passphrase(secret)) = passphrase else {
        return Ok(line);
    };
    let mut recipient = scrypt::Recipient::new(secret.clone());
    recipient.set_work_factor(WORK);
    age::encrypt_and_armor(&recipient, line.as_bytes()).map_err(io::Error::other)
}

/// Writes a new file that only its owner can read, durably.
///
/// # Errors
/// When the file exists or cannot be written.
pub fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Writes keys into a new file that only its owner can read, encrypted if there is a passphrase.
///
/// # Errors
/// When the file exists or cannot be written.
pub fn write_keys(
    path: &Path,
    keys: &ValidatorKeys,
    passphrase: Option<&Passphrase>,
) -> Result<(), KeyFileError> {
    let written = content(keys, passphrase).and_then(|text| write_secret(path, &text));
    written.map_err(|source| KeyFileError::Io {
        path: path.to_owned(),
        source,
    })
}

/// Writes keys in place of those in a file, at once: a crash leaves the old file or the new one.
///
/// # Errors
/// When it cannot be written, or `path.new` exists, which a crash in the middle may have left.
pub fn replace_keys(
    path: &Path,
    keys: &ValidatorKeys,
    passphrase: Option<&Passphrase>,
) -> Result<(), KeyFileError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    write_keys(&new, keys, passphrase)?;
    let replace = || {
        fs::rename(&new, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    replace().map_err(|source| KeyFileError::Io {
        path: path.to_owned(),
        source,
    })
}

/// What a file says, if only its owner may read it.
fn read(path: &Path) -> Result<String, KeyFileError> {
    let io = |source| KeyFileError::Io {
        path: path.to_owned(),
        source,
    };
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(path).map_err(io)?) & 0o777;
        if mode & 0o077 != 0 {
            let path = path.to_owned();
            return Err(KeyFileError::Open { path, mode });
        }
    }
    fs::read_to_string(path).map_err(io)
}

/// Whether a key file is encrypted.
///
/// # Errors
/// When it cannot be read, or others may read it.
pub fn is_encrypted(path: &Path) -> Result<bool, KeyFileError> {
    Ok(read(path)?.starts_with(ENCRYPTED))
}

/// Reads keys from a file that only its owner may read. If they are encrypted, the passphrase is what has been laid ready, or
/// what a person says.
///
/// # Errors
/// When it cannot be read, others may read it, the passphrase is missing or another one, or it holds no keys.
pub fn read_keys(
    path: &Path,
    passphrase_file: Option<&Path>,
    ask: Ask<'_>,
) -> Result<ValidatorKeys, KeyFileError> {
    let mut text = read(path)?;
    let path = path.to_owned();
    if text.starts_with(ENCRYPTED) {
        let asked = |path: &Path| {
            ask(path).map_err(|source| KeyFileError::Io {
                path: path.to_owned(),
                source,
            })
        };
        let passphrase = match Passphrase::laid_ready(passphrase_file)? {
            Some(passphrase) => Some(passphrase),
            None => asked(&path)?,
        };
        let Some(Passphrase(secret)) = passphrase else {
            return Err(KeyFileError::NoPassphrase { path });
        };
        let mut identity = scrypt::Identity::new(secret);
        identity.set_max_work_factor(MOST_WORK);
        text = match age::decrypt(&identity, text.as_bytes()) {
            Ok(line) => String::from_utf8(line).unwrap_or_default(),
            Err(DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed) => {
                return Err(KeyFileError::WrongPassphrase { path });
            }
            Err(source) => {
                let source = Box::new(source);
                return Err(KeyFileError::Damaged { path, source });
            }
        };
    }
    let keys = hex::decode(text.trim()).map_err(|_| KeysError);
    keys.and_then(|bytes| ValidatorKeys::from_bytes(&bytes))
        .map_err(|source| KeyFileError::Content { path, source })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;
    use commonware_utils::sys_rng;
    use tempfile::TempDir;

    fn open(path: &Path) -> Result<ValidatorKeys, KeyFileError> {
        read_keys(path, None, &|_| Ok(None))
    }

    #[test]
    fn keys_are_their_owners_alone() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("validator.key");
        let keys = ValidatorKeys::random(&mut sys_rng());
        write_keys(&path, &keys, None).unwrap();
        assert_eq!(open(&path).unwrap().to_bytes(), keys.to_bytes());
        assert!(
            matches!(write_keys(&path, &keys, None), Err(KeyFileError::Io { .. })),
            "never overwritten"
        );
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            assert!(matches!(open(&path), Err(KeyFileError::Open { mode: 0o640, .. })));
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        fs::write(&path, "00").unwrap();
        assert!(matches!(open(&path), Err(KeyFileError::Content { .. })));
    }

    #[test]
    fn encrypted_keys_open_with_their_passphrase_alone() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("validator.key");
        let keys = ValidatorKeys::random(&mut sys_rng());
        let passphrase = |text: &str| Passphrase::new(text.into());
        write_keys(&path, &keys, None).unwrap();
        assert!(!is_encrypted(&path).unwrap());
        replace_keys(&path, &keys, passphrase("correct horse").as_ref()).unwrap();
        assert!(is_encrypted(&path).unwrap());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600);
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&hex::encode(keys.to_bytes())[..16]));

        // A person is asked for it.
        let told = |text: &'static str| move |_: &Path| Ok(Passphrase::new(text.into()));
        assert_eq!(
            read_keys(&path, None, &told("correct horse")).unwrap().to_bytes(),
            keys.to_bytes()
        );
        let wrong = read_keys(&path, None, &told("battery staple")).unwrap_err();
        assert!(matches!(wrong, KeyFileError::WrongPassphrase { .. }), "{wrong}");
        assert!(!wrong.to_string().contains("battery"));
        assert!(matches!(open(&path), Err(KeyFileError::NoPassphrase { .. })));

        // A file holds it, in its first line, and not for everybody.
        let secret = folder.path().join("passphrase");
        write_secret(&secret, "correct horse\nnot this\n").unwrap();
        let asks_nobody = |_: &Path| -> io::Result<Option<Passphrase>> { panic!("nobody need be asked") };
        assert!(read_keys(&path, Some(&secret), &asks_nobody).is_ok());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
            let open = read_keys(&path, Some(&secret), &asks_nobody);
            assert!(matches!(
                open,
                Err(KeyFileError::OpenPassphrase { mode: 0o644, .. })
            ));
            fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        }
        fs::write(&secret, "\n").unwrap();
        let empty = read_keys(&path, Some(&secret), &asks_nobody);
        assert!(matches!(empty, Err(KeyFileError::PassphraseFile { .. })));

        // Damage is told from a wrong passphrase where that can be known, and is never a panic.
        for cut in [60, text.len() / 2, text.len() - 60] {
            fs::write(&path, &text[..cut]).unwrap();
            let damaged = read_keys(&path, None, &told("correct horse"));
            assert!(
                matches!(damaged, Err(KeyFileError::Damaged { .. })),
                "{damaged:?}"
            );
        }
        fs::write(&path, format!("{ENCRYPTED}\n")).unwrap();
        assert!(read_keys(&path, None, &told("correct horse")).is_err());
    }
}
