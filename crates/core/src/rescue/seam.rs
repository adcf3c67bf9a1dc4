//! Where two halves of an answer meet: the continuation is compared with the end of what the client has.
//!
//! Used for each piece of text of a continuation. Always true: a piece passes only behind all that was held back, byte for byte;
//! what was compared does not pass; memory is bounded by what the client has.

/// Whether a deployment repeats the words that it was told it had said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Echo {
    /// It goes on behind them.
    #[default]
    Never,
    /// It may: Mistral's answers begin with the prefix.
    Possible,
}

/// What a piece of a continuation means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met<'t> {
    /// It agrees so far. Nothing of it passes.
    NotYet,
    /// It agrees with all of it; this passes.
    Passed(&'t str),
    /// It is another answer.
    Differs,
}

/// The comparison of one continuation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seam {
    said: Box<str>,
    /// Where the continuation may have begun, and how many bytes agreed since: where it was cut, and at the very beginning.
    places: [Option<usize>; 2],
    met: usize,
    has_met: bool,
}

impl Seam {
    pub(super) fn new(said: Box<str>, at: usize, echo: Echo) -> Seam {
        let echoed = match echo {
            Echo::Possible if at > 0 => Some(0),
            Echo::Possible | Echo::Never => None,
        };
        Seam { said, places: [Some(at), echoed], met: 0, has_met: false }
    }

    /// Whether everything that was held back has come.
    #[must_use]
    pub fn has_met(&self) -> bool {
        self.has_met
    }

    /// Takes the next piece of text.
    pub fn take<'t>(&mut self, piece: &'t str) -> Met<'t> {
        if self.has_met {
            return Met::Passed(piece);
        }
        let (said, met) = (self.said.as_bytes(), self.met);
        let mut passed = None;
        for place in &mut self.places {
            let Some(at) = *place else { continue };
            let expected = said.get(at + met..).unwrap_or_default();
            let common = expected.len().min(piece.len());
            if expected[..common] != piece.as_bytes()[..common] {
                *place = None;
            } else if common == expected.len() && passed.is_none() {
                passed = Some(common);
            }
        }
        // Both texts are whole characters, so an agreement ends between two of them.
        if let Some(tail) = passed.and_then(|common| piece.get(common..)) {
            self.has_met = true;
            return Met::Passed(tail);
        }
        self.met += piece.len();
        match self.places {
            [None, None] => Met::Differs,
            _ => Met::NotYet,
        }
    }
}
