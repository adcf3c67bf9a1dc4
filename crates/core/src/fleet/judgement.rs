//! The judgement: what the reports of other replicas mean here, by kinds of causes.
//!
//! Called by [`super::Fleet`] for each deployment that others report on. Always true: a fact about
//! the account holds at once; what may be one replica's broken network ejects nothing for others;
//! own evidence of the last [`OWN_MS`] outranks what others say of a deployment's health.

use super::report::{Closed, Report, ServerMs};
use crate::cause::Cause;
use crate::health::Doubted;

/// For how long own evidence outranks that of others, milliseconds.
const OWN_MS: u64 = 10_000;

/// What is known here about the deployment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Local {
    /// When it last gave a good answer here.
    pub ok_at: Option<ServerMs>,
    /// Blamed failures in a row here.
    pub failures_in_a_row: u32,
    /// Whether its group has another usable deployment.
    pub has_sibling: bool,
    /// Whether its group has a fallback.
    pub has_fallback: bool,
}

/// What follows from the reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// The cooldown that holds here too.
    pub closed: Option<Closed>,
    /// What makes it get less traffic, and until when.
    pub doubt: Option<(Doubted, ServerMs)>,
}

/// Who can be affected by a cause, and how many replicas must agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A fact about the account: one replica is enough.
    Account,
    /// The provider refused: two replicas, or one and its probe.
    Refusal,
    /// The provider answered badly: half of the replicas, or a failure of one's own.
    Answer,
    /// It may be the replica's own network: half of the replicas, and two at least.
    Network,
    /// It says nothing to others.
    Private,
}

fn kind(cause: Cause) -> Kind {
    match cause {
        Cause::RateLimited | Cause::Quota => Kind::Account,
        Cause::Auth | Cause::Permission | Cause::NotFound => Kind::Refusal,
        Cause::Overloaded
        | Cause::ServerError
        | Cause::StreamCut
        | Cause::StreamStall
        | Cause::BadResponse => Kind::Answer,
        Cause::Timeout | Cause::Connect | Cause::Dns | Cause::Tls => Kind::Network,
        Cause::Misconfigured
        | Cause::BadRequest
        | Cause::Unsupported
        | Cause::ContextWindow
        | Cause::ContentPolicy
        | Cause::EmptyAnswer
        | Cause::ClientTimeout
        | Cause::ClientClosed
        | Cause::Gateway => Kind::Private,
    }
}

/// What `reports` mean at `now`: each with whether its replica is alive. `replicas` live, this one
/// included.
#[must_use]
pub fn judge(
    reports: &[(bool, &Report)],
    replicas: usize,
    now: ServerMs,
    local: &Local,
) -> Judgement {
    let answered = reports.iter().filter(|(is_alive, _)| *is_alive);
    let ok_at = answered.filter_map(|(_, report)| report.ok_at).max().max(local.ok_at);
    let counts = |is_alive: bool, closed: &Closed| {
        let is_over = closed.until <= now;
        let is_refuted = !closed.provider_issued && ok_at.is_some_and(|ok| ok > closed.since);
        !is_over && !is_refuted && (is_alive || closed.provider_issued)
    };
    let closed = reports
        .iter()
        .filter_map(|(is_alive, report)| report.closed.filter(|closed| counts(*is_alive, closed)));
    let of = |wanted: Kind| closed.clone().filter(move |one| kind(one.cause) == wanted);
    let last = |kind| of(kind).max_by_key(|one| one.until);
    let is_known_here = local.ok_at.is_some_and(|ok| now.since(ok) < OWN_MS);
    let has_other = local.has_sibling || local.has_fallback;
    let mut judgement = Judgement { closed: last(Kind::Account), doubt: None };
    let rows = [
        (
            Kind::Refusal,
            local.has_sibling
                && (of(Kind::Refusal).count() >= 2 || of(Kind::Refusal).any(|one| one.confirmed)),
            Doubted::ToHalf,
        ),
        (
            Kind::Answer,
            has_other && (of(Kind::Answer).count() * 2 >= replicas || local.failures_in_a_row > 0),
            Doubted::ToHalf,
        ),
        (
            Kind::Network,
            has_other
                && of(Kind::Network).count() >= 2
                && of(Kind::Network).count() * 2 >= replicas,
            Doubted::ToThreeQuarters,
        ),
    ];
    for (kind, is_agreed, doubt) in rows {
        let Some(worst) = last(kind).filter(|_| !is_known_here) else { continue };
        if is_agreed {
            let is_later = judgement.closed.is_none_or(|known| known.until < worst.until);
            // A deadline of the provider's is better known than an end that replicas chose.
            if is_later && judgement.closed.is_none_or(|known| !known.provider_issued) {
                judgement.closed = Some(worst);
            }
        } else if judgement.doubt.is_none_or(|(known, _)| known == Doubted::ToThreeQuarters) {
            judgement.doubt = Some((doubt, worst.until));
        }
    }
    judgement
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: ServerMs = ServerMs(100_000);

    fn closed(cause: Cause) -> Closed {
        Closed {
            since: ServerMs(99_000),
            until: ServerMs(130_000),
            cause,
            provider_issued: false,
            confirmed: false,
        }
    }

    fn reported(closed: Closed) -> (bool, Report) {
        (true, Report { seq: 1, closed: Some(closed), ok_at: None })
    }

    fn with_sibling() -> Local {
        Local { has_sibling: true, ..Local::default() }
    }

    fn judged(reports: &[(bool, Report)], replicas: usize, local: &Local) -> Judgement {
        {
            let reports: Vec<_> = reports.iter().map(|(alive, report)| (*alive, report)).collect();
            judge(&reports, replicas, NOW, local)
        }
    }

    #[test]
    fn a_limit_of_the_account_holds_at_once_and_the_latest_end_counts() {
        let first = Closed { provider_issued: true, ..closed(Cause::RateLimited) };
        let later = Closed { until: ServerMs(160_000), ..first };
        for cause in [Cause::RateLimited, Cause::Quota] {
            let (first, later) = (Closed { cause, ..first }, Closed { cause, ..later });
            let alone = judged(&[reported(first), reported(later)], 5, &Local::default());
            assert_eq!(alone.closed, Some(later), "also without a sibling");
            let answered = Local { ok_at: Some(NOW), ..Local::default() };
            assert_eq!(judged(&[reported(first)], 5, &answered).closed, Some(first));
        }
    }

    #[test]
    fn a_deadline_holds_though_its_replica_is_gone_and_nothing_else_does() {
        let gone = |closed| (false, reported(closed).1);
        let issued = Closed { provider_issued: true, ..closed(Cause::RateLimited) };
        assert_eq!(judged(&[gone(issued)], 1, &with_sibling()).closed, Some(issued));
        for cause in [Cause::RateLimited, Cause::ServerError, Cause::Connect, Cause::Auth] {
            let judgement = judged(&[gone(closed(cause)), gone(closed(cause))], 1, &with_sibling());
            assert_eq!(judgement, Judgement::default(), "{cause:?}");
        }
    }

    #[test]
    fn one_replica_with_a_broken_network_ejects_nothing_for_others() {
        for cause in [Cause::Connect, Cause::Dns, Cause::Tls, Cause::Timeout] {
            for replicas in 1..6 {
                let judgement = judged(&[reported(closed(cause))], replicas, &with_sibling());
                assert_eq!(judgement.closed, None, "{cause:?} of {replicas}");
                let doubt = Some((Doubted::ToThreeQuarters, ServerMs(130_000)));
                assert_eq!(judgement.doubt, doubt);
            }
            let two = [reported(closed(cause)), reported(closed(cause))];
            assert_eq!(judged(&two, 4, &with_sibling()).closed, Some(closed(cause)));
            assert_eq!(judged(&two, 5, &with_sibling()).closed, None, "less than half");
        }
    }

    #[test]
    fn a_refused_key_needs_a_second_replica_or_a_probe() {
        for cause in [Cause::Auth, Cause::Permission, Cause::NotFound] {
            let one = reported(closed(cause));
            assert_eq!(judged(&[one], 2, &with_sibling()).closed, None);
            let doubt = judged(&[one], 2, &with_sibling()).doubt;
            assert_eq!(doubt.map(|(doubt, _)| doubt), Some(Doubted::ToHalf));
            assert!(judged(&[one, one], 5, &with_sibling()).closed.is_some());
            let confirmed = reported(Closed { confirmed: true, ..closed(cause) });
            assert!(judged(&[confirmed], 5, &with_sibling()).closed.is_some());
            assert_eq!(
                judged(&[confirmed], 5, &Local::default()).closed,
                None,
                "without a sibling"
            );
        }
    }

    #[test]
    fn a_bad_answer_needs_half_of_the_replicas_or_a_failure_here() {
        let one = reported(closed(Cause::ServerError));
        assert!(judged(&[one], 2, &with_sibling()).closed.is_some());
        assert_eq!(judged(&[one], 3, &with_sibling()).closed, None);
        let failed = Local { failures_in_a_row: 1, ..with_sibling() };
        assert!(judged(&[one], 5, &failed).closed.is_some());
        assert_eq!(
            judged(&[one], 2, &Local::default()),
            Judgement { closed: None, doubt: Some((Doubted::ToHalf, ServerMs(130_000))) },
            "the only way is never closed by others"
        );
    }

    #[test]
    fn younger_success_anywhere_and_own_evidence_outrank_what_others_say() {
        let one = reported(closed(Cause::ServerError));
        let ok = |at| (true, Report { seq: 1, closed: None, ok_at: Some(ServerMs(at)) });
        assert_eq!(judged(&[one, ok(99_001)], 2, &with_sibling()), Judgement::default());
        assert!(judged(&[one, ok(98_999)], 2, &with_sibling()).closed.is_some());
        let own = |at| Local { ok_at: Some(ServerMs(at)), ..with_sibling() };
        assert_eq!(judged(&[one], 2, &own(98_000)), Judgement::default(), "2 s ago");
        assert!(judged(&[one], 2, &own(80_000)).closed.is_some());
    }

    #[test]
    fn what_the_client_or_the_gateway_did_says_nothing_to_others() {
        for cause in Cause::ALL.into_iter().filter(|cause| !cause.blames_deployment()) {
            let one = reported(Closed { provider_issued: true, ..closed(cause) });
            assert_eq!(judged(&[one, one], 2, &with_sibling()), Judgement::default());
        }
    }
}
