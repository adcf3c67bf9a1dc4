//! `litellm_backend_url` and `ui`: the server of LiteLLM that answers what this gateway does not.
//!
//! Called by the reader of settings. Always true: an address that cannot be one is refused; without an address there is no backend.

use super::address;
use super::field::Field;
use super::problem::{Problems, Wrong, shown};
use crate::settings::{Backend, Ui};

/// What the settings say.
#[derive(Debug, Default)]
pub(super) struct Written {
    url: Option<Box<str>>,
    ui: Ui,
}

impl Written {
    /// `litellm_backend_url`.
    pub(super) fn url(&mut self, field: &Field<'_>, problems: &mut Problems) {
        let Some(text) = field.text(problems) else { return };
        match address::api_base(text) {
            Ok(url) => self.url = Some(url),
            Err(wrong) => {
                let problem = wrong.problem.replacen("api_base", "the address", 1);
                let hint = "write the address of LiteLLM, as `http://litellm:4000`";
                field.wrong(Wrong::new(problem, hint), problems);
            }
        }
    }

    /// `ui`.
    pub(super) fn ui(&mut self, field: &Field<'_>, problems: &mut Problems) {
        match field.text(problems) {
            Some("hale") => self.ui = Ui::Own,
            Some("litellm") => self.ui = Ui::Backend,
            Some(other) => {
                let problem = format!("`{}` is no user interface", shown(other));
                field.wrong(Wrong::new(problem, "write `hale` or `litellm`"), problems);
            }
            None => {}
        }
    }

    /// The backend, if there is one.
    pub(super) fn backend(self) -> Option<Backend> {
        let ui = self.ui;
        self.url.map(|url| Backend { url, ui })
    }
}
