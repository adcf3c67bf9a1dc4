//! Values of labels that come from clients, where an operator asked for them: bounded.
//!
//! Used when a request of such a client ends. Always true: a label has at most [`VALUES_MAX`] values, and there are at most
//! [`CELLS_MAX`] sets of counters; what comes after that is counted as [`OTHER`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::series::Cell;

/// Most values of one label.
const VALUES_MAX: usize = 1_000;
/// Most sets of counters that clients make, each about 2 KB.
const CELLS_MAX: usize = 10_000;
/// Longest value, characters.
const VALUE_MAX: usize = 200;
/// The value that stands for all others.
pub(crate) const OTHER: &str = "other";

/// The values of the labels that the operator asked for, in the order of the config.
pub(crate) type ClientKey = Arc<[Arc<str>]>;

/// The values that are known.
#[derive(Default)]
pub(crate) struct Clients {
    known: Mutex<Vec<BTreeSet<Arc<str>>>>,
    cells: AtomicUsize,
}

impl Clients {
    /// The values as labels show them.
    pub(crate) fn key(&self, values: &[Option<Box<str>>]) -> ClientKey {
        let mut known = self.known.lock();
        if known.len() < values.len() {
            known.resize(values.len(), BTreeSet::new());
        }
        let pairs = values.iter().zip(known.iter_mut());
        pairs.map(|(value, known)| one(known, value.as_deref().unwrap_or_default())).collect()
    }

    /// The counters of `key`, or those of all others if there are too many.
    pub(super) fn cell_of(
        &self,
        cells: &mut BTreeMap<ClientKey, Arc<Cell>>,
        key: ClientKey,
    ) -> Arc<Cell> {
        if let Some(cell) = cells.get(&key) {
            return cell.clone();
        }
        let key = match self.cells.fetch_add(1, Ordering::Relaxed) {
            made if made < CELLS_MAX => key,
            _ => {
                self.cells.fetch_sub(1, Ordering::Relaxed);
                key.iter().map(|_| Arc::from(OTHER)).collect()
            }
        };
        cells.entry(key).or_default().clone()
    }
}

fn one(known: &mut BTreeSet<Arc<str>>, value: &str) -> Arc<str> {
    let end = value.char_indices().nth(VALUE_MAX).map_or(value.len(), |(at, _)| at);
    let value = &value[..end];
    if let Some(known) = known.get(value) {
        return known.clone();
    }
    if known.len() >= VALUES_MAX {
        return OTHER.into();
    }
    let value: Arc<str> = value.into();
    known.insert(value.clone());
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_a_thousand_values_and_then_other() {
        let clients = Clients::default();
        let key = |number: usize| clients.key(&[None, Some(number.to_string().into())]);
        assert_eq!(*key(7)[1], *"7");
        assert_eq!(*key(7)[0], *"");
        let values: BTreeSet<Arc<str>> = (0..5_000).map(|number| key(number)[1].clone()).collect();
        assert_eq!(values.len(), VALUES_MAX + 1);
        assert_eq!(*key(7)[1], *"7", "what is known stays");
        assert_eq!(*key(4_999)[1], *OTHER);
        let long: Box<str> = "é".repeat(1_000).into();
        assert_eq!(Clients::default().key(&[Some(long)])[0].chars().count(), VALUE_MAX);
    }

    #[test]
    fn the_sets_of_counters_are_bounded() {
        let clients = Clients::default();
        let mut cells = BTreeMap::new();
        for number in 0..2 * CELLS_MAX {
            clients.cell_of(&mut cells, [Arc::from(number.to_string())].into());
        }
        assert_eq!(cells.len(), CELLS_MAX + 1);
        assert!(cells.contains_key(&[Arc::<str>::from(OTHER)][..]));
    }
}
