//! The report: sections of Markdown tables.

use eyre::{Result, WrapErr};
use std::{fmt::Write, path::Path, process::Command};

/// Markdown, growing.
pub(crate) struct Report(String);

impl Report {
    pub(crate) fn new(root: &Path) -> Self {
        Self::named(root, "Benchmarks", "cargo xtask bench")
    }

    /// A report with a title, made by a command.
    pub(crate) fn named(root: &Path, title: &str, made_by: &str) -> Self {
        let commit = Command::new("git")
            .args(["rev-parse", "--short", "HEAD"])
            .current_dir(root)
            .output()
            .ok()
            .filter(|output| output.status.success())
            .map_or_else(
                || "unknown".to_owned(),
                |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            );
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        Self(format!(
            "# {title}\n\nMade by `{made_by}` at commit {commit}, on {cores} cores of {}. One run, one machine: \
             compare the ratios, and measure again before you rely on a figure.\n",
            processor()
        ))
    }

    /// Sections that stand in another report.
    pub(crate) fn part() -> Self {
        Self(String::new())
    }

    /// A section with an explanation and a table; every row has as many cells as `columns`.
    pub(crate) fn table(&mut self, title: &str, text: &str, columns: &[&str], rows: &[Vec<String>]) {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let header: Vec<String> = columns.iter().map(|&column| column.to_owned()).collect();
        let rule = vec!["---".to_owned(); columns.len()];
        let mut section = format!("\n## {title}\n\n{text}\n\n{}{}", line(&header), line(&rule));
        for row in rows {
            section.push_str(&line(row));
        }
        eprint!("{section}");
        self.0.push_str(&section);
    }

    pub(crate) fn note(&mut self, text: &str) {
        writeln!(self.0, "\n{text}").expect("a string takes everything");
    }

    /// Puts the sections in the places of those with the same titles in a report that is there; what it does not have goes to its
    /// end.
    pub(crate) fn merge(&self, path: &Path) -> Result<()> {
        let old = std::fs::read_to_string(path).unwrap_or_else(|_| self.0.clone());
        std::fs::write(path, merged(&old, &self.0))
            .wrap_err_with(|| format!("cannot write {}", path.display()))
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        std::fs::write(path, &self.0).wrap_err_with(|| format!("cannot write {}", path.display()))
    }
}

/// A report with the sections of another. Each says which commit it is of, since the report's own line does not hold for it.
fn merged(old: &str, new: &str) -> String {
    const RULE: &str = "\n## ";
    let commit = new
        .split_once("at commit ")
        .and_then(|(_, rest)| rest.split_once(','))
        .map_or("unknown", |(commit, _)| commit);
    let title = |section: &str| section.lines().next().unwrap_or_default().to_owned();
    let mut sections: Vec<String> = old.split(RULE).map(ToOwned::to_owned).collect();
    for section in new.split(RULE).skip(1) {
        let (heading, rest) = section.split_once("\n\n").unwrap_or((section, ""));
        let section = format!("{heading}\n\nAt commit {commit}. {rest}");
        let known = sections
            .iter()
            .skip(1)
            .position(|old| title(old) == title(&section));
        match known {
            Some(index) => sections[index + 1] = section,
            None => sections.push(section),
        }
    }
    let sections: Vec<&str> = sections.iter().map(|section| section.trim_end()).collect();
    sections.join(&format!("\n{RULE}")) + "\n"
}

/// The processor's own name, where the system tells it.
fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find(|line| line.starts_with("model name"));
    name.and_then(|line| line.split_once(": "))
        .map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.to_owned())
}

/// A number with thousands apart.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The middle of `values`, which are sorted on the way.
///
/// # Panics
/// If there are none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::merged;

    #[test]
    fn a_section_takes_the_place_of_its_namesake() {
        let old = "# T\n\nMade at commit aaa, on 2 cores.\n\n## A\n\nold a\n\n| x |\n\n## B\n\nold b\n";
        let new = "# T\n\nMade at commit bbb, on 2 cores.\n\n## A\n\nnew a\n\n| y |\n\n## C\n\nnew c\n";
        let expected = "# T\n\nMade at commit aaa, on 2 cores.\n\n## A\n\nAt commit bbb. new a\n\n| y |\n\n\
                        ## B\n\nold b\n\n## C\n\nAt commit bbb. new c\n";
        let once = merged(old, new);
        assert_eq!(once, expected);
        assert_eq!(merged(&once, new), expected);
    }
}
