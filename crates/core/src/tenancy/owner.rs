//! Who made an object that a provider keeps: a response, a file, a batch.
//!
//! Sealed into the object's id by the wire, compared by the gateway when an id comes back. Always true: it does not tell
//! which key, team or user it is; an object without an owner is for operators alone.

use sha2::{Digest, Sha256};

use super::identity::Identity;

/// Bytes of a mark. No other id has the same one: to find one takes 2^96 tries.
const MARK: usize = 12;

type Mark = [u8; MARK];

/// Whose an object is. Two owners share it if they have a part in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The key, the team and the user, in the order of [`WHAT`].
    marks: [Option<Mark>; 3],
}

/// What is marked; a team's mark is never that of a user with the same name.
const WHAT: [&str; 3] = ["key", "team", "user"];

impl Owner {
    /// No key: what the master key makes, and what was made before owners were kept.
    pub const NONE: Owner = Owner { marks: [None; 3] };

    /// What the holder of that key makes is its own, its user's and its team's.
    #[must_use]
    pub fn of(identity: &Identity) -> Owner {
        let ids = [Some(&identity.key), identity.team.as_ref(), identity.user.as_ref()];
        let mut marks = [None; 3];
        for ((mark, what), id) in marks.iter_mut().zip(WHAT).zip(ids) {
            *mark = id.filter(|id| !id.is_empty()).map(|id| mark_of(what, id));
        }
        Owner { marks }
    }

    /// What the holder of that key may use: its own, and its team's; without a team its user's, whichever key of the user made it. A key of a team
    /// shows nothing of what its user does elsewhere: an admin of the team may have made it for that user.
    #[must_use]
    pub fn reader(identity: &Identity) -> Owner {
        let mut reader = Owner::of(identity);
        let [_, team, user] = &mut reader.marks;
        if team.is_some() {
            *user = None;
        }
        reader
    }

    /// What that key made, without a team and a user.
    #[must_use]
    pub fn of_key(hash: &str) -> Owner {
        Owner { marks: [Some(mark_of(WHAT[0], hash)), None, None] }
    }

    /// Whether both are the same key, keys of one team, or keys of one user.
    #[must_use]
    pub fn shares(&self, other: &Owner) -> bool {
        self.marks.iter().zip(&other.marks).any(|(one, other)| one.is_some() && one == other)
    }

    /// It as bytes, which [`Owner::read`] reads: which marks there are, then these.
    pub fn write(&self, to: &mut Vec<u8>) {
        let bit = |(place, mark): (usize, &Option<Mark>)| u8::from(mark.is_some()) << place;
        to.push(self.marks.iter().enumerate().map(bit).sum());
        self.marks.iter().flatten().for_each(|mark| to.extend_from_slice(mark));
    }

    /// The owner at the beginning of `bytes`, and what follows; `None` if there is none.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<(Owner, &[u8])> {
        let (there, mut left) = bytes.split_first()?;
        let mut owner = Owner::default();
        for (place, mark) in owner.marks.iter_mut().enumerate() {
            if there >> place & 1 == 1 {
                let (own, behind) = left.split_first_chunk::<MARK>()?;
                (*mark, left) = (Some(*own), behind);
            }
        }
        (there >> WHAT.len() == 0).then_some((owner, left))
    }
}

fn mark_of(what: &str, id: &str) -> Mark {
    let digest = Sha256::new().chain_update(what).chain_update([0]).chain_update(id).finalize();
    let mut mark = [0; MARK];
    mark.copy_from_slice(&digest[..MARK]);
    mark
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(key: &str, team: Option<&str>, user: Option<&str>) -> Owner {
        let [team, user] = [team, user].map(|id| id.map(Into::into));
        Owner::of(&Identity { key: key.into(), team, user, ..Identity::default() })
    }

    #[test]
    fn an_object_is_shared_by_key_by_team_and_by_user_and_by_no_name_of_another_kind() {
        let own = owner("k1", Some("t1"), Some("u1"));
        for (other, shares) in [
            (owner("k1", None, None), true),
            (owner("k2", Some("t1"), None), true),
            (owner("k2", None, Some("u1")), true),
            (owner("k2", Some("t2"), Some("u2")), false),
            (owner("k2", Some("u1"), Some("t1")), false),
            (owner("k2", Some("k1"), Some("k1")), false),
            (owner("k2", Some(""), None), false),
            (Owner::default(), false),
        ] {
            assert_eq!((own.shares(&other), other.shares(&own)), (shares, shares), "{other:?}");
        }
        assert!(!owner("k1", None, None).shares(&owner("k2", None, None)));
        assert!(
            !Owner::default().shares(&Owner::default()),
            "what has no owner is shared by no key"
        );
    }

    #[test]
    fn a_key_of_a_team_reads_nothing_of_what_its_user_makes_elsewhere() {
        let identity = |key: &str, team: Option<&str>, user: Option<&str>| {
            let [team, user] = [team, user].map(|id| id.map(Into::into));
            Identity { key: key.into(), team, user, ..Identity::default() }
        };
        let of_team = Owner::reader(&identity("k", Some("t"), Some("u")));
        for (made, reads) in [
            (owner("k", None, None), true),
            (owner("k2", Some("t"), Some("v")), true),
            (owner("k2", None, Some("u")), false),
            (owner("k2", Some("t2"), Some("u")), false),
        ] {
            assert_eq!(of_team.shares(&made), reads, "{made:?}");
        }
        let personal = Owner::reader(&identity("k", None, Some("u")));
        assert!(personal.shares(&owner("k2", Some("t"), Some("u"))));
        assert!(personal.shares(&owner("k2", None, Some("u"))));
    }

    #[test]
    fn an_owner_is_read_as_it_was_written() {
        for own in [
            Owner::default(),
            owner("k", None, None),
            owner("k", None, Some("u")),
            owner("k", Some("t"), Some("u")),
        ] {
            let mut bytes = Vec::new();
            own.write(&mut bytes);
            bytes.extend_from_slice(b"tail");
            assert_eq!(Owner::read(&bytes), Some((own, &b"tail"[..])));
            let cut = &bytes[..bytes.len() - 5];
            assert_eq!(Owner::read(cut), None, "{own:?}");
        }
        assert_eq!(Owner::read(&[8]), None, "a mark of a later version");
    }
}
