//! Readers other than the plain one: with a tap, and behind a stream that broke off.
//!
//! Part of [`super::Reader`]. Always true: what goes on behind another stream is translated, whatever its formats, because it goes
//! on with the events of that one.

use hale_core::rescue::Echo;

use super::{Broken, Passage, Reader};
use crate::conversion::merged::Merging;
use crate::conversion::prepare::Conversion;
use crate::conversion::rescue;
use crate::conversion::tap::Tap;
use crate::conversion::translation::Translation;
use crate::formats::view::View;

impl Reader {
    /// The same as [`Reader::new`], with a tap: see [`Reader::tap`].
    #[must_use]
    pub fn tapped(conversion: Conversion, view: View) -> Reader {
        Reader::new(conversion, view).with_tap(conversion)
    }

    /// The reader of a stream that goes on behind one that broke off; `None` if that has no place for it.
    #[must_use]
    pub fn behind(
        broken: &rescue::Broken,
        echo: Echo,
        (conversion, view): (Conversion, View),
    ) -> Option<Reader> {
        let translation = Translation::behind(conversion.wire, broken.go_on(echo)?);
        let passage = Passage::Translated(Box::new(translation));
        // Reasoning that is merged stands before all text.
        let merging = Merging::Behind;
        Some(Reader { merging, ..Reader::of(passage, conversion, view) })
    }

    /// The same, with a tap: see [`Reader::tap`].
    #[must_use]
    pub fn with_tap(self, conversion: Conversion) -> Reader {
        Reader { tap: Tap::of(conversion).map(Box::new), ..self }
    }

    /// Whether it is another answer than the one that it should go on from.
    #[must_use]
    pub fn differs(&self) -> bool {
        self.broken == Some(Broken::Differs)
    }
}
