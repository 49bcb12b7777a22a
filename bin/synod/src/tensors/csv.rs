//! CSV: a table of numbers, with or without a line of headings.

use super::Numbers;
use eyre::{Result, ensure};

/// The numbers of a table. A first line in which nothing is a number is taken as headings.
pub(super) fn read(bytes: &[u8]) -> Result<Numbers> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .from_reader(bytes);
    let (mut rows, mut words) = (0, Vec::new());
    for (index, record) in reader.records().enumerate() {
        let record = record.map_err(|error| eyre::eyre!("{error}"))?;
        if index == 0 && record.iter().all(|word| word.parse::<f64>().is_err()) {
            continue;
        }
        rows += 1;
        words.extend(record.iter().map(str::to_owned));
    }
    ensure!(rows > 0 && !words.is_empty(), "it has no numbers");
    Ok(Numbers::table(rows, words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_are_skipped_and_ragged_rows_refused() {
        assert_eq!(read(b"a, b\n1, 2\n3, 4\n").unwrap().shape(), [2, 2]);
        assert_eq!(read(b"1,2\n3,4\n").unwrap().shape(), [2, 2]);
        assert!(read(b"1,2\n3\n").is_err());
        assert!(read(b"a,b\n").is_err());
        assert!(read(b"").is_err());
    }
}
