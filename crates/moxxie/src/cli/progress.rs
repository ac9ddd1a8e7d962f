//! Progress bars: on standard error, and only where a person sees them.

use crate::cli::out::{self, Format};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal as _};

const KNOWN: &str =
    "{msg}  [{bar:28}] {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  {eta} left";
const UNKNOWN: &str = "{msg}  {binary_bytes}  {binary_bytes_per_sec}";

/// How far something is. It vanishes when it is dropped.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// A bar for `total` bytes, where that is known. Nothing is drawn when results are printed
    /// for programs, or when nobody looks.
    pub fn new(format: Format, what: &str, total: Option<u64>) -> Bar {
        let target = match is_shown(format, io::stderr().is_terminal()) {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = Bar { bar: ProgressBar::with_draw_target(total, target) };
        bar.style(total);
        bar.bar.set_message(out::one_line(what));
        bar
    }

    /// So many bytes are through.
    pub fn at(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// Goes on from here; what was done before says nothing about the speed.
    pub fn resume_at(&self, done: u64) {
        self.bar.set_position(done);
        self.bar.reset_eta();
    }

    /// What is done now, and how far that is.
    pub fn step(&self, what: &str, done: u64, total: Option<u64>) {
        let what = out::one_line(what);
        if self.bar.message() != what {
            self.bar.reset();
            self.bar.set_message(what);
        }
        if self.bar.length() != total {
            match total {
                Some(total) => self.bar.set_length(total),
                None => self.bar.unset_length(),
            }
            self.style(total);
        }
        self.bar.set_position(done);
    }

    /// A remark for whoever watches the bar.
    pub fn note(&self, text: impl AsRef<str>) {
        if !self.bar.is_hidden() {
            self.bar.suspend(|| out::note(text));
        }
    }

    fn style(&self, total: Option<u64>) {
        let template = if total.is_some() { KNOWN } else { UNKNOWN };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style.progress_chars("=> "));
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn is_shown(format: Format, is_terminal: bool) -> bool {
    format == Format::Table && is_terminal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_for_people() {
        assert!(is_shown(Format::Table, true));
        for (format, is_terminal) in
            [(Format::Table, false), (Format::Json, true), (Format::Yaml, true), (Format::Json, false)]
        {
            assert!(!is_shown(format, is_terminal), "{format:?} {is_terminal}");
        }
        assert!(Bar::new(Format::Json, "x", Some(1)).bar.is_hidden());
    }

    #[test]
    fn templates_are_good() {
        for template in [KNOWN, UNKNOWN] {
            ProgressStyle::with_template(template).unwrap();
        }
        let bar = Bar::new(Format::Json, "x", None);
        bar.step("fetching\u{1b}[2J", 3, Some(10));
        assert_eq!((bar.bar.position(), bar.bar.length()), (3, Some(10)));
        assert_eq!(bar.bar.message(), "fetching\u{fffd}[2J");
        bar.step("storing", 1, None);
        assert_eq!((bar.bar.position(), bar.bar.length()), (1, None));
    }
}
