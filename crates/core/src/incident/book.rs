//! The book of incidents: groups troubles by cause, and decides what is told when.
//!
//! Kept by the replica that speaks, driven once a second. Always true: one incident for one cause; messages of an incident
//! are one when it opens and one when it is resolved, and the same once more if it comes back within the time of
//! `flap_ms`; a book that was written and read again tells nothing twice and loses nothing.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::case::{Incident, Member, Stage, Turn};
use super::kind::Kind;
use super::letter::Letter;
use super::rules::AlertSettings;
use super::trouble::{Report, Trouble};

/// Incidents in the book. One more joins the newest of its kind.
const INCIDENTS_MAX: usize = 200;
/// Letters that wait for channels that do not take them.
const LETTERS_MAX: usize = 1_000;
/// How long a channel is tried, milliseconds.
const LETTER_MAX_MS: u64 = 24 * 3_600_000;
/// How long something counts as wrong of which nothing is known any more, milliseconds.
const UNSEEN_MAX_MS: u64 = 3_600_000;
/// How long what follows from a fault may lag behind it, milliseconds.
const LAG_MS: u64 = 60_000;
/// How often changes of numbers alone are worth keeping, milliseconds.
const KEEP_EVERY_MS: u64 = 10_000;

/// The incidents that are open, or were lately.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    /// Incidents, the oldest first.
    incidents: Vec<Incident>,
    /// The number of the last letter or incident.
    last: u64,
    /// Letters that were given up.
    pub dropped: u64,
}

/// What becomes of incidents that the other book does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// They stay: the other replica has just begun to keep it.
    Keep,
    /// They are over.
    Drop,
}

/// What the replicas see, sorted.
struct Seen<'r> {
    troubles: HashMap<&'r str, Vec<(&'r str, &'r Trouble)>>,
    replicas: HashSet<&'r str>,
    healthy: HashSet<&'r str>,
    /// The replicas that see more than they name.
    cut: HashSet<&'r str>,
}

impl<'r> Seen<'r> {
    fn of(reports: &'r [Report]) -> Seen<'r> {
        let mut troubles: HashMap<&str, Vec<_>> = HashMap::new();
        for report in reports {
            for trouble in &report.troubles {
                troubles.entry(&trouble.subject).or_default().push((&*report.replica, trouble));
            }
        }
        let healthy = reports.iter().flat_map(|report| &report.healthy);
        Seen {
            troubles,
            replicas: reports.iter().map(|report| &*report.replica).collect(),
            healthy: healthy.map(|subject| &**subject).collect(),
            cut: reports.iter().filter(|one| one.unnamed > 0).map(|one| &*one.replica).collect(),
        }
    }

    /// Whether that replica sees it, or may do so: what it does not name for want of room is as it was, until a replica
    /// says that it works.
    fn is_seen_by(&self, replica: &str, subject: &str) -> bool {
        let named = self.troubles.get(subject);
        named.is_some_and(|all| all.iter().any(|(one, _)| *one == replica))
            || (self.cut.contains(replica) && !self.healthy.contains(subject))
    }
}

impl Book {
    /// Adds incidents as they were kept, unless they are in it.
    pub fn adopt(&mut self, kept: Vec<Incident>) {
        for incident in kept {
            let numbers = incident.letters.iter().map(|letter| letter.number);
            self.last = self.last.max(numbers.max().unwrap_or(0));
            if !self.incidents.iter().any(|one| one.id == incident.id) {
                self.incidents.push(incident);
            }
        }
        self.incidents.sort_by_key(|incident| incident.opened);
    }

    /// Goes on with a book that another replica keeps; `merge` says that what only this one has stays. Returns what changed by
    /// that, and what is over because the other one has it no longer.
    pub fn follow(&mut self, other: Book, merge: Merge) -> Vec<Incident> {
        let own = std::mem::take(self);
        *self = Book { last: own.last.max(other.last), ..other };
        let is_news = |one: &&Incident| !own.incidents.contains(one);
        let mut changed: Vec<Incident> = self.incidents.iter().filter(is_news).cloned().collect();
        match merge {
            Merge::Keep => self.adopt(own.incidents),
            Merge::Drop => {
                let is_known = |id: &str| self.incidents.iter().any(|one| *one.id == *id);
                let gone = own.incidents.into_iter().filter(|one| !is_known(&one.id));
                changed.extend(gone.map(Incident::closed));
            }
        }
        changed
    }

    /// The incidents that are not over.
    #[must_use]
    pub fn into_open(self) -> Vec<Incident> {
        self.incidents.into_iter().filter(|one| one.stage_name() != "closed").collect()
    }

    /// The same with the words and fixes of one member of each incident, so that it takes little room. What is told stays
    /// as it is.
    #[must_use]
    pub fn slim(mut self) -> Book {
        self.incidents.iter_mut().for_each(Incident::slim);
        self
    }

    /// All incidents, the oldest first.
    #[must_use]
    pub fn incidents(&self) -> &[Incident] {
        &self.incidents
    }

    /// Those that changed at `now` in a way that is worth keeping.
    pub fn changed(&self, now: u64) -> impl Iterator<Item = &Incident> {
        self.incidents.iter().filter(move |incident| incident.updated == now)
    }

    /// The subjects of which nothing is known any more: whether they work is asked of every replica. `cut` is a replica
    /// that sees more than it names, so that it is asked about all that it saw.
    #[must_use]
    pub fn unseen(&self, cut: Option<&str>) -> Vec<Box<str>> {
        let members = self.incidents.iter().flat_map(|incident| &incident.members);
        let sees = |member: &Member| member.seen_by.iter().any(|one| Some(&**one) == cut);
        let is_unknown = |member: &Member| member.seen_by.is_empty() || sees(member);
        let unseen = members.filter(|(_, member)| member.is_down && is_unknown(member));
        unseen.map(|(subject, _)| subject.clone()).collect()
    }

    /// Looks at what the replicas see at `now`, milliseconds since 1970.
    pub fn observe(&mut self, now: u64, reports: &[Report], settings: &AlertSettings) {
        let seen = Seen::of(reports);
        let was_down: Vec<bool> = self.incidents.iter().map(Incident::is_down).collect();
        for incident in &mut self.incidents {
            look_again(incident, &seen, now);
        }
        self.place_all(reports, now);
        for (at, incident) in self.incidents.iter_mut().enumerate() {
            let is_back = incident.is_down() && was_down.get(at) == Some(&false);
            count(incident, reports, if is_back { Turn::Back } else { Turn::Same }, now);
        }
        for at in 0..self.incidents.len() {
            let told = self.incidents[at].step(&settings.rules, now);
            for event in told {
                self.write(at, event, settings, now);
            }
        }
        self.prune(now);
    }

    fn place_all(&mut self, reports: &[Report], now: u64) {
        for report in reports {
            // What follows from a fault finds the fault first.
            let all = report.troubles.iter();
            let (later, first): (Vec<_>, Vec<_>) =
                all.partition(|trouble| trouble.kind.is_consequence());
            for trouble in first.into_iter().chain(later) {
                let at = match self.home(trouble, now) {
                    Some(at) => at,
                    None => self.open(trouble, &report.replica, now),
                };
                self.incidents[at].join(trouble, &report.replica, now);
            }
        }
    }

    /// The incident that a trouble belongs to.
    fn home(&self, trouble: &Trouble, now: u64) -> Option<usize> {
        let open = || {
            let all = self.incidents.iter().enumerate().rev();
            all.filter(|(_, incident)| incident.stage != Stage::Closed)
        };
        let known = open().find(|(_, one)| one.members.contains_key(&trouble.subject));
        if let Some((at, _)) = known {
            return Some(at);
        }
        let shares = |one: &Incident| {
            let groups = one.groups();
            trouble.groups.iter().any(|group| groups.contains(&&**group))
        };
        let is_lately = |one: &Incident| one.ended.is_none_or(|at| now.saturating_sub(at) < LAG_MS);
        let belongs = |one: &Incident| {
            let is_near = one.root == trouble.root;
            let is_untold = !one.is_told();
            match trouble.kind {
                // That now nothing serves is worth another message.
                Kind::GroupDown => {
                    let is_same = is_untold || one.kind == Kind::GroupDown;
                    is_same && is_lately(one) && (is_near || (is_untold && shares(one)))
                }
                Kind::FallbacksExhausted | Kind::SlowRequests => {
                    one.kind.is_of_deployments() && is_lately(one) && shares(one)
                }
                Kind::DeploymentDown | Kind::KeyRefused => {
                    let is_akin = is_untold && one.root.is_akin(&trouble.root);
                    let is_reason = is_untold && one.kind.is_consequence() && shares(one);
                    (is_near && one.kind.is_of_deployments()) || is_akin || is_reason
                }
                Kind::ProbeBudget
                | Kind::BudgetSpent
                | Kind::SoftBudget
                | Kind::ReloadRefused
                | Kind::RedisTrouble
                | Kind::StoreTrouble => false,
            }
        };
        let found = open().find(|(_, one)| belongs(one)).map(|(at, _)| at);
        let is_full = self.incidents.len() >= INCIDENTS_MAX;
        let alike = || open().find(|(_, one)| one.kind == trouble.kind).map(|(at, _)| at);
        found.or_else(|| if is_full { alike() } else { None })
    }

    fn open(&mut self, trouble: &Trouble, replica: &str, now: u64) -> usize {
        self.last += 1;
        let id = id(now, self.last, (&trouble.subject, replica));
        self.incidents.push(Incident::new(id, trouble, now));
        self.incidents.len() - 1
    }

    /// Writes a message to each channel that gets it.
    fn write(
        &mut self,
        at: usize,
        event: super::letter::Event,
        settings: &AlertSettings,
        now: u64,
    ) {
        let incident = &mut self.incidents[at];
        let message = incident.message(event, settings);
        for name in settings.channels_for(incident.kind) {
            self.last += 1;
            incident.letters.push(Letter {
                number: self.last,
                to: name.into(),
                message: message.clone(),
                written: now,
                tries: 0,
                due: now,
            });
        }
    }

    fn prune(&mut self, now: u64) {
        let mut waiting = 0;
        for incident in self.incidents.iter_mut().rev() {
            let before = incident.letters.len();
            let is_fresh = |letter: &Letter| now.saturating_sub(letter.written) < LETTER_MAX_MS;
            incident.letters.retain(is_fresh);
            let room = LETTERS_MAX.saturating_sub(waiting);
            let excess = incident.letters.len().saturating_sub(room);
            incident.letters.drain(..excess);
            waiting += incident.letters.len();
            let dropped = before - incident.letters.len();
            if dropped > 0 {
                self.dropped += dropped as u64;
                incident.updated = now;
            }
        }
        // One that changed at this moment is still to be kept.
        let is_over = |one: &Incident| one.stage == Stage::Closed && one.letters.is_empty();
        self.incidents.retain(|one| !is_over(one) || one.updated == now);
    }

    /// The letters to send at `now`, for each channel that is not `busy` the oldest one.
    #[must_use]
    pub fn due(&self, now: u64, is_busy: impl Fn(&str) -> bool) -> Vec<Letter> {
        let mut first: Vec<&Letter> = Vec::new();
        let mut letters: Vec<&Letter> =
            self.incidents.iter().flat_map(|incident| &incident.letters).collect();
        letters.sort_by_key(|letter| letter.number);
        for letter in letters {
            if !first.iter().any(|one| one.to == letter.to) && !is_busy(&letter.to) {
                first.push(letter);
            }
        }
        first.into_iter().filter(|letter| letter.due <= now).cloned().collect()
    }

    /// How many letters wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.incidents.iter().map(|incident| incident.letters.len()).sum()
    }

    /// A letter was delivered at `now`.
    pub fn delivered(&mut self, number: u64, now: u64) {
        for incident in &mut self.incidents {
            let before = incident.letters.len();
            incident.letters.retain(|letter| letter.number != number);
            if incident.letters.len() != before {
                incident.updated = now;
            }
        }
    }

    /// A letter was not delivered; it is sent again at `due`.
    pub fn failed(&mut self, number: u64, due: u64) {
        let letters = self.incidents.iter_mut().flat_map(|incident| &mut incident.letters);
        for letter in letters.filter(|letter| letter.number == number) {
            letter.tries = letter.tries.saturating_add(1);
            letter.due = due;
        }
    }

    /// Drops letters to channels that are not configured any more.
    pub fn retain_channels(&mut self, is_there: impl Fn(&str) -> bool) {
        for incident in &mut self.incidents {
            incident.letters.retain(|letter| is_there(&letter.to));
        }
    }
}

/// Sees what of an incident is wrong by now.
fn look_again(incident: &mut Incident, seen: &Seen<'_>, now: u64) {
    let mut changed = false;
    for (subject, member) in &mut incident.members {
        let before = member.is_down;
        let is_gone = member.seen_by.iter().any(|one| !seen.replicas.contains(&**one));
        member.seen_by.retain(|one| seen.is_seen_by(one, subject));
        if !member.seen_by.is_empty() || !member.is_down {
            continue;
        }
        if is_gone {
            member.unseen_since.get_or_insert(now);
        }
        let is_unknown = member.unseen_since.is_some_and(|since| {
            !seen.healthy.contains(&**subject) && now.saturating_sub(since) < UNSEEN_MAX_MS
        });
        member.is_down = is_unknown;
        changed |= before != member.is_down;
    }
    if changed {
        incident.updated = now;
    }
}

/// Counts what requests met, as long as it is worth it.
fn count(incident: &mut Incident, reports: &[Report], turn: Turn, now: u64) {
    let is_lately = incident.ended.is_none_or(|at| now.saturating_sub(at) < KEEP_EVERY_MS);
    if !incident.is_down() && !is_lately {
        return;
    }
    let before = incident.effect();
    let groups: Vec<Box<str>> = incident.groups().into_iter().map(Box::from).collect();
    for report in reports {
        for group in &groups {
            if let Some(counter) = report.groups.get(group) {
                incident.count((&report.replica, group), *counter, turn);
            }
        }
    }
    let is_old = now.saturating_sub(incident.updated) >= KEEP_EVERY_MS;
    if is_old && incident.effect() != before {
        incident.updated = now;
    }
}

/// An id that no incident had before: time, number and a hash.
fn id(now: u64, number: u64, (subject, replica): (&str, &str)) -> Box<str> {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in subject.bytes().chain([0]).chain(replica.bytes()).chain(number.to_be_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{now:x}-{:06x}", hash & 0xff_ffff).into()
}
