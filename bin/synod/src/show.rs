//! How things are shown: results on stdout, all else on stderr, numbers that people can read.

use crate::client::Progress;
use alloy_primitives::U256;
use eyre::Result;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::{
    fmt,
    io::{IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

/// The form of a command's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// For people.
    Text,
    /// One JSON document.
    Json,
}

impl Form {
    /// Prints a result on stdout: the same facts in either form.
    pub(crate) fn print<R: Serialize + fmt::Display>(self, result: &R) -> Result<()> {
        let text = match self {
            Self::Text => result.to_string(),
            Self::Json => serde_json::to_string_pretty(result)? + "\n",
        };
        print_raw(&text)
    }
}

/// Writes to stdout. Whoever reads may stop early (`| head`), which is no error.
pub(crate) fn print_raw(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Says something on stderr.
pub(crate) fn note(text: impl fmt::Display) {
    // Nobody may be listening, and the work goes on all the same.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// `1,234,567`
pub(crate) fn thousands(number: impl Into<u128>) -> String {
    let digits = number.into().to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1.9 kB`, in decimal units.
pub(crate) fn bytes(count: u64) -> String {
    match count {
        0..1_000 => format!("{count} B"),
        1_000..1_000_000 => format!("{:.1} kB", count as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", count as f64 / 1e6),
        _ => format!("{:.2} GB", count as f64 / 1e9),
    }
}

/// An amount of wei in ether, to a few significant digits.
pub(crate) fn ether(wei: U256) -> String {
    let text = alloy_primitives::utils::format_ether(wei);
    let trimmed = text.trim_end_matches('0').trim_end_matches('.');
    let Some((whole, fraction)) = trimmed.split_once('.') else {
        return format!("{trimmed} ETH");
    };
    let leading = fraction.len() - fraction.trim_start_matches('0').len();
    let kept = &fraction[..fraction.len().min(leading + 4)];
    format!("{whole}.{} ETH", kept.trim_end_matches('0'))
}

/// Rows of cells in columns; columns whose every cell is a number are aligned to the right.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([header[column].chars().count()]).max().unwrap_or(0)
    };
    let numeric = |column: usize| {
        !rows.is_empty()
            && rows.iter().all(|row| {
                row[column]
                    .chars()
                    .all(|c| c.is_ascii_digit() || matches!(c, ',' | '.' | '%'))
            })
    };
    let columns: Vec<(usize, bool)> = (0..header.len())
        .map(|column| (width(column), numeric(column)))
        .collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells: Vec<String> = cells
            .zip(&columns)
            .map(|(cell, &(width, right))| {
                if right {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                }
            })
            .collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    let mut out = line(&mut header.iter().copied());
    for row in rows {
        out.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    out
}

/// Progress on stderr: a bar in a terminal, a line now and then in a log.
pub(crate) struct Bar {
    bar: ProgressBar,
    label: String,
    plain: bool,
    last: Instant,
    done: u64,
    total: u64,
    of_bytes: bool,
}

impl Bar {
    /// A bar over a count of things.
    pub(crate) fn count(label: &str, total: u64) -> Self {
        Self::new(label, total, false, "{prefix:<24} [{bar:32}] {pos}/{len}")
    }

    /// A bar over bytes.
    pub(crate) fn bytes(label: &str, total: u64) -> Self {
        Self::new(
            label,
            total,
            true,
            "{prefix:<24} [{bar:32}] {bytes}/{total_bytes} {bytes_per_sec}, {eta} left",
        )
    }

    fn new(label: &str, total: u64, of_bytes: bool, template: &str) -> Self {
        let plain = !std::io::stderr().is_terminal();
        let bar = if plain {
            ProgressBar::hidden()
        } else {
            ProgressBar::new(total)
        };
        let style = ProgressStyle::with_template(template).expect("the templates above are well formed");
        bar.set_style(style.progress_chars("=> "));
        bar.set_prefix(label.to_owned());
        Self {
            bar,
            label: label.to_owned(),
            plain,
            last: Instant::now(),
            done: 0,
            total,
            of_bytes,
        }
    }

    /// So many more are done.
    pub(crate) fn advance(&mut self, by: u64) {
        const PAUSE: Duration = Duration::from_secs(5);
        self.done += by;
        self.bar.inc(by);
        if self.plain && self.last.elapsed() >= PAUSE {
            self.last = Instant::now();
            let (done, total) = if self.of_bytes {
                (bytes(self.done), bytes(self.total))
            } else {
                (thousands(self.done), thousands(self.total))
            };
            note(format_args!("{}: {done} of {total}", self.label));
        }
    }

    /// Removes the bar.
    pub(crate) fn finish(self) {
        self.bar.finish_and_clear();
    }
}

/// Progress of an upload, on stderr.
#[derive(Default)]
pub(crate) struct Uploading {
    bar: Option<Bar>,
}

impl Uploading {
    /// All bytes are there.
    pub(crate) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish();
        }
    }
}

impl Progress for Uploading {
    fn begin(&mut self, missing: u64, total: u64) {
        if missing < total {
            note(format_args!(
                "{} of it are on the chain already",
                bytes(total - missing)
            ));
        }
        if missing > 0 {
            note("an upload that is interrupted goes on where it stopped, with the same command");
            self.bar = Some(Bar::bytes("uploading", missing));
        }
    }

    fn advance(&mut self, bytes: u64) {
        if let Some(bar) = &mut self.bar {
            bar.advance(bytes);
        }
    }

    fn validating(&mut self) {
        self.finish();
        note("all pieces are on the chain; the registry validates the model");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(thousands(0u64), "0");
        assert_eq!(thousands(999u64), "999");
        assert_eq!(thousands(1_234_567u64), "1,234,567");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_930), "1.9 kB");
        assert_eq!(bytes(14_000_000), "14.0 MB");
        assert_eq!(ether(U256::from(10).pow(U256::from(18))), "1 ETH");
        assert_eq!(ether(U256::from(1_234_567_890_123u64)), "0.000001234 ETH");
        assert_eq!(ether(U256::ZERO), "0 ETH");
        assert_eq!(ether(U256::from(1u64)), "0.000000000000000001 ETH");
    }

    #[test]
    fn tables_align_numbers_to_the_right() {
        let rows = [
            vec!["Gemm".into(), "7".into()],
            vec!["Relu".into(), "1,000".into()],
        ];
        assert_eq!(
            table(&["operator", "gas"], &rows),
            "operator    gas\nGemm          7\nRelu      1,000\n"
        );
    }
}
