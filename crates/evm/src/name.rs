//! Names of models: `org/model` and `org/model@N`.

use alloy_primitives::{B256, keccak256};
use std::fmt;

/// Characters of each part of a name, at most. The registry enforces the same limit.
pub const MAX_PART: usize = 64;

/// A well-formed name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelName {
    /// `org/model`, without a version.
    path: String,
    /// The version asked for, `None` for the newest.
    version: Option<u64>,
}

/// Not of the form `org/model` or `org/model@N`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} is not a model's name: write org/model or org/model@N, each part 1 to 64 of a-z 0-9 - _ . beginning with a letter or digit, N from 1"
)]
pub struct InvalidName {
    /// The text refused, cut to a bounded length.
    pub name: String,
}

impl ModelName {
    /// Reads a name from the bytes of a Solidity string.
    ///
    /// # Errors
    /// If the text is not a name.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidName> {
        Self::try_parse(text).ok_or_else(|| InvalidName { name: echo(text) })
    }

    fn try_parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (path, version) = match text.split_once('@') {
            Some((path, digits)) => (path, Some(parse_version(digits)?)),
            None => (text, None),
        };
        let (org, model) = path.split_once('/')?;
        (is_part(org) && is_part(model)).then(|| Self {
            path: path.to_owned(),
            version,
        })
    }

    /// `org/model`, without a version.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The version asked for, `None` for the newest.
    pub fn version(&self) -> Option<u64> {
        self.version
    }

    /// The registry's key of this model.
    pub fn hash(&self) -> B256 {
        keccak256(self.path.as_bytes())
    }
}

impl std::str::FromStr for ModelName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::parse(text.as_bytes())
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        self.version.map_or(Ok(()), |version| write!(f, "@{version}"))
    }
}

fn is_part(part: &str) -> bool {
    let alphanumeric = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.len() <= MAX_PART
        && part.bytes().next().is_some_and(alphanumeric)
        && part
            .bytes()
            .all(|c| alphanumeric(c) || matches!(c, b'-' | b'_' | b'.'))
}

/// A decimal from 1 without leading zeros, so that one version has one spelling.
fn parse_version(digits: &str) -> Option<u64> {
    let canonical = digits.bytes().all(|c| c.is_ascii_digit()) && !digits.starts_with('0');
    canonical.then(|| digits.parse().ok()).flatten()
}

/// What an error repeats of a text that is not a name: enough to recognise it, and a bounded copy.
fn echo(text: &[u8]) -> String {
    const LONGEST: usize = 2 * MAX_PART + 22; // the longest name
    String::from_utf8_lossy(&text[..text.len().min(LONGEST)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_names_and_one_spelling_of_each_version() {
        for (text, path, version) in [
            ("orchard/apples", "orchard/apples", None),
            ("a/0", "a/0", None),
            ("a-b_c.d/x.y@1", "a-b_c.d/x.y", Some(1)),
            ("a/b@18446744073709551615", "a/b", Some(u64::MAX)),
        ] {
            let name: ModelName = text.parse().unwrap();
            assert_eq!((name.path(), name.version()), (path, version));
            assert_eq!(name.to_string(), text);
        }
    }

    #[test]
    fn refuses_everything_else() {
        let long = format!("{}/b", "a".repeat(65));
        for text in [
            "",
            "/",
            "a",
            "a/",
            "/b",
            "a/b/c",
            "A/b",
            "a/B",
            "-a/b",
            "a/.b",
            "a b/c",
            "a/b@",
            "a/b@0",
            "a/b@01",
            "a/b@+1",
            "a/b@1@2",
            "a/b@18446744073709551616",
            "a/b@x",
            "ä/b",
            "a/b\0",
            &long,
        ] {
            assert!(ModelName::parse(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(ModelName::parse(&[b'a', b'/', 0xff]).is_err());
        let huge = vec![b'x'; 1 << 20];
        assert!(ModelName::parse(&huge).unwrap_err().name.len() <= 150);
    }
}
