//! Whether an answer that takes long may go on: its key may end, be blocked or be deleted meanwhile, and a session may use up its budget.
//!
//! Part of [`super`], asked once a second by the relay and the tunnel. Always true: without a key it costs nothing; what a session has
//! used is counted as spent while it lasts; a stream is not cut for its budget, since its cost was reserved before it began.

use std::sync::Arc;

use hale_core::tenancy::access::{Admission, KeyAccess};
use hale_core::tenancy::account::Used;
use hale_core::tenancy::{Denied, Money};
use hale_core::time::Millis;

use http::HeaderMap;

use super::Delivery;
use crate::clock;
use crate::http::limit_headers;
use crate::keys::{self, Standing};
use crate::proxy::counted::Counted;

/// How often the key is looked at, milliseconds.
const EVERY_MS: u64 = 1_000;

/// When the key of an answer was last looked at; never, if it has none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Looked(Millis);

impl Looked {
    /// There is no key.
    pub(super) const NEVER: Looked = Looked(Millis::NEVER);

    /// Now.
    pub(super) fn at(now: Millis) -> Looked {
        Looked(now.plus(EVERY_MS))
    }
}

impl Delivery {
    /// Its key reserved what it is expected to use, until it ends.
    pub(in crate::proxy) fn admitted(&mut self, admission: Admission) {
        self.admission = Some(Box::new(admission));
        self.looked = Looked::at(clock::recent().millis());
    }

    /// What its key has reserved for it, if it has one.
    pub(in crate::proxy) fn admission(&mut self) -> Option<&mut Admission> {
        self.admission.as_deref_mut()
    }

    /// Those headers, and what the limits of its key leave.
    pub(in crate::proxy) fn with_limits(&self, mut headers: HeaderMap) -> HeaderMap {
        if let Some(admission) = &self.admission {
            limit_headers::left(&mut headers, admission, keys::now());
        }
        headers
    }

    /// When its key is to be looked at.
    pub(in crate::proxy) fn key_due(&self) -> Millis {
        self.looked.0
    }

    /// Whether its key is still good.
    ///
    /// # Errors
    /// Why it is not.
    pub(in crate::proxy) fn check_key(&mut self) -> Result<(), Denied> {
        self.key_now().map(drop)
    }

    /// What its key may do now; `None` if it has none.
    fn key_now(&mut self) -> Result<Option<Arc<KeyAccess>>, Denied> {
        let at = keys::now();
        self.looked = Looked::at(at.now);
        let admission = self.admission.as_deref();
        let Some(access) = admission.and_then(Admission::access) else { return Ok(None) };
        let now = match self.worker.process.keys.standing(access.presented, at.now) {
            Standing::Known(now) => now,
            // Its end is known without the database.
            Standing::Unread => access.clone(),
            Standing::Gone => {
                return Err(Denied::unknown_key(&access.masked, &access.hash.to_string()));
            }
        };
        now.check_alive(at.unix_ms)?;
        Ok(Some(now))
    }

    /// The same of a session, which has used so much: that is spent from here on.
    ///
    /// # Errors
    /// Why it cannot go on: its key ended, or a budget is spent.
    pub(in crate::proxy) fn check_session(&mut self, so_far: Counted<'_>) -> Result<(), Denied> {
        let now = self.key_now()?;
        let cost = self.cost_of(so_far);
        let process = &self.worker.process;
        let Some(admission) = &mut self.admission else { return Ok(()) };
        if let Some(cost) = cost {
            process.keys.spend(admission, Used { cost, ..Used::default() });
        }
        admission.check_budgets(now.as_deref(), keys::now())
    }

    fn cost_of(&self, so_far: Counted<'_>) -> Option<Money> {
        let deployment = self.deployment()?;
        let bytes = self.record.as_ref().map_or(0, |record| record.request_bytes);
        let facts = deployment.facts.at(clock::unix_ms());
        let (usage, _) = so_far.charged(&facts, (bytes, self.prefix_tokens))?;
        facts.cost(&usage)
    }
}
