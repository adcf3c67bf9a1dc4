//! A progress line on standard error.
//!
//! Drawn by [`super::examine`]. Always true: nothing is written unless standard error is a terminal, and the
//! line is erased when the progress is dropped.

use std::io::{IsTerminal, Write};

use crate::clock::{self, Micros};

/// The progress line.
pub(super) struct Progress {
    is_shown: bool,
    of: usize,
    done: usize,
    began: Micros,
}

impl Progress {
    /// `done` of `of` are known already.
    pub(super) fn new(of: usize, done: usize) -> Progress {
        let is_shown = std::io::stderr().is_terminal();
        Progress { is_shown, of, done, began: clock::now() }
    }

    /// Counts so many more as known.
    pub(super) fn add(&mut self, count: usize) {
        self.done += count;
        self.draw();
    }

    /// Overwrites the line.
    pub(super) fn draw(&self) {
        let Progress { of, done, .. } = self;
        let seconds = clock::now().since(self.began) / 1_000_000;
        self.write(&format!(
            "\r\x1b[Kexamined {done} of {of} deployments, {seconds} s (Ctrl-C shows what is known)"
        ));
    }

    fn write(&self, text: &str) {
        if self.is_shown {
            let mut out = std::io::stderr().lock();
            let _closed: Result<(), _> = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.write("\r\x1b[K");
    }
}
