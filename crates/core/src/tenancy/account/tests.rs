//! Tests of accounts: limits, refunds, budgets, and that nothing is lost between them.

use proptest::prelude::*;

use super::*;

fn at(ms: u64) -> WallClock {
    WallClock { now: Millis(ms), unix_ms: UnixMs(1_800_000_000_000 + ms) }
}

fn usd(usd: f64) -> Money {
    Money::of_usd(usd).unwrap()
}

fn budget(max: f64, duration: Option<&str>) -> Option<Budget> {
    let duration = duration.map(|text| BudgetDuration::parse("d", text).unwrap());
    Some(Budget { max: usd(max), duration, raised: None, zone: TimeZone::UTC })
}

fn tokens(tokens: u64) -> Claim {
    Claim { tokens, ..Claim::default() }
}

fn costs(cost: f64) -> Claim {
    Claim { cost: usd(cost), ..Claim::default() }
}

#[test]
fn a_request_beyond_the_limit_is_told_when_there_is_room() {
    let (account, terms) = (Account::default(), Terms { rpm: Some(1), ..Terms::default() });
    assert_eq!(account.enter(&terms, &tokens(0), at(0)), Ok(()));
    let full = account.enter(&terms, &tokens(0), at(1_000));
    assert_eq!(full, Err(Full::Requests { limit: 1, free_in_ms: 59_000 }));
    assert_eq!(account.enter(&terms, &tokens(0), at(60_000)), Ok(()));
}

#[test]
fn refusals_use_nothing_up() {
    let (account, terms) = (Account::default(), Terms { rpm: Some(1), ..Terms::default() });
    assert!(account.enter(&terms, &tokens(0), at(0)).is_ok());
    for ms in 1..11 {
        assert!(account.enter(&terms, &tokens(0), at(ms)).is_err());
    }
    assert!(account.enter(&terms, &tokens(0), at(60_000)).is_ok());
}

#[test]
fn nothing_is_a_limit_of_its_own_and_none_is_no_limit() {
    let zero = |terms: Terms| Account::default().enter(&terms, &tokens(1), at(0)).is_err();
    assert!(zero(Terms { rpm: Some(0), ..Terms::default() }));
    assert!(zero(Terms { tpm: Some(0), ..Terms::default() }));
    assert!(zero(Terms { parallel: Some(0), ..Terms::default() }));
    assert!(!zero(Terms::default()));
}

#[test]
fn a_refund_leaves_room_for_the_next_request() {
    let terms = Terms { rpm: Some(1), tpm: Some(100), parallel: Some(1), ..Terms::default() };
    let account = Account::default();
    assert!(account.enter(&terms, &tokens(80), at(0)).is_ok());
    account.refund(&terms, &tokens(80), Millis(0));
    assert_eq!(account.balance(None, at(1)), Balance::default());
    assert!(account.enter(&terms, &tokens(80), at(1)).is_ok());
}

#[test]
fn an_estimate_beyond_the_limit_takes_all_of_it_and_a_wish_beyond_it_never_fits() {
    let terms = Terms { tpm: Some(100), ..Terms::default() };
    let account = Account::default();
    assert!(account.enter(&terms, &tokens(5_000), at(0)).is_ok());
    assert_eq!(
        account.enter(&terms, &tokens(1), at(1)),
        Err(Full::Tokens { limit: 100, free_in_ms: 59_999 })
    );
    let wish = Claim { is_explicit: true, ..tokens(5_000) };
    let never = Account::default().enter(&terms, &wish, at(0));
    assert_eq!(never, Err(Full::NeverFits { limit: 100, asked: 5_000 }));
}

#[test]
fn an_answer_of_which_a_request_says_nothing_takes_a_quarter_of_the_limit_at_most() {
    let implied = |tokens, implied| Claim { tokens, implied, ..Claim::default() };
    for (tpm, claim, fits) in [
        (100, implied(10, 1_024), 4),
        (1_000, implied(20, 1_024), 4),
        (8_192, implied(20, 1_024), 8),
        (100, implied(60, 1_024), 1),
        (100, implied(5, 0), 20),
    ] {
        let (account, terms) = (Account::default(), Terms { tpm: Some(tpm), ..Terms::default() });
        let passed = (0..50).filter(|_| account.enter(&terms, &claim, at(0)).is_ok()).count();
        assert_eq!(passed, fits, "{tpm} {claim:?}");
    }
}

#[test]
fn tokens_that_were_not_used_are_given_back_at_the_end() {
    let (account, terms) = (Account::default(), Terms { tpm: Some(100), ..Terms::default() });
    assert!(account.enter(&terms, &tokens(90), at(0)).is_ok());
    account.settle(&terms, &tokens(90), &Used { tokens: 30, ..Used::default() }, Millis(0));
    assert_eq!(account.balance(None, at(5)).tokens, 30);
    assert!(account.enter(&terms, &tokens(70), at(5)).is_ok());
    account.settle(&terms, &tokens(70), &Used { tokens: 90, ..Used::default() }, Millis(5));
    assert_eq!(account.balance(None, at(6)).tokens, 120);
}

#[test]
fn the_last_call_of_a_budget_may_exceed_it_and_the_next_one_is_refused() {
    let (account, terms) =
        (Account::new(usd(0.99), None), Terms { budget: budget(1.0, None), ..Terms::default() });
    assert_eq!(account.spent(&terms, at(0)), Ok(()));
    assert!(account.enter(&terms, &costs(0.1), at(0)).is_ok());
    let has_reset =
        account.settle(&terms, &costs(0.1), &Used { cost: usd(0.1), tokens: 0 }, Millis(0));
    assert!(!has_reset, "what was spent is written with its request");
    let spent = Full::Spent { known: usd(1.09), max: usd(1.0), resets_at: None };
    assert_eq!(account.spent(&terms, at(1)), Err(spent));
}

#[test]
fn calls_in_flight_hold_their_estimates_and_an_aborted_one_gives_it_back() {
    let terms = Terms { budget: budget(1.0, None), ..Terms::default() };
    let account = Account::default();
    for _ in 0..2 {
        assert!(account.enter(&terms, &costs(0.5), at(0)).is_ok());
    }
    let full = account.enter(&terms, &costs(0.5), at(0));
    assert_eq!(full, Err(Full::Reserved { max: usd(1.0), calls: 2 }));
    // Reserved is not spent.
    assert_eq!(account.spent(&terms, at(0)), Ok(()));
    account.settle(&terms, &costs(0.5), &Used::default(), Millis(0));
    assert!(account.enter(&terms, &costs(0.5), at(0)).is_ok());
}

#[test]
fn a_call_larger_than_the_budget_passes_alone() {
    let terms = Terms { budget: budget(1.0, None), ..Terms::default() };
    let account = Account::default();
    assert!(account.enter(&terms, &costs(5.0), at(0)).is_ok());
    assert!(account.enter(&terms, &costs(0.1), at(0)).is_err());
}

#[test]
fn a_budget_begins_anew_at_its_border_and_the_row_is_told_once() {
    let terms = Terms { budget: budget(1.0, Some("1d")), ..Terms::default() };
    let clock = at(0);
    let border = UnixMs(clock.unix_ms.0 + 1_000);
    let account = Account::new(usd(0.75), Some(border));
    account.enter(&terms, &costs(0.25), clock).unwrap();
    account.settle(&terms, &costs(0.25), &Used { cost: usd(0.25), tokens: 0 }, Millis(0));
    let spent = Full::Spent { known: usd(1.0), max: usd(1.0), resets_at: Some(border) };
    assert_eq!(account.spent(&terms, at(999)), Err(spent));
    assert_eq!(account.spent(&terms, at(1_000)), Ok(()));
    account.hand(usd(0.25), 1);
    let resets = account.begin_write();
    let next = BudgetDuration::parse("d", "1d").unwrap().next(border, &TimeZone::UTC);
    assert_eq!(resets, [Reset { seen: usd(1.0), was: border, next }]);
    account.end_write();
    assert_eq!(account.balance(terms.budget.as_ref(), at(2_000)).spent, Money::ZERO);
    account.written(1);
    assert_eq!(account.balance(terms.budget.as_ref(), at(2_000)).spent, Money::ZERO);
    assert_eq!(account.begin_write(), []);
}

#[test]
fn a_raise_counts_until_it_ends() {
    let raised = Some((usd(5.0), at(1_000).unix_ms));
    let budget = budget(1.0, None).map(|budget| Budget { raised, ..budget });
    let terms = Terms { budget, ..Terms::default() };
    let account = Account::new(usd(3.0), None);
    assert_eq!(account.spent(&terms, at(999)), Ok(()));
    assert!(account.spent(&terms, at(1_000)).is_err());
}

#[test]
fn what_others_wrote_is_taken_over_unless_it_was_read_before_a_write_of_our_own() {
    let terms = Terms { budget: budget(9.0, None), ..Terms::default() };
    let account = Account::default();
    let spend = || {
        account.enter(&terms, &costs(1.0), at(0)).unwrap();
        account.settle(&terms, &costs(1.0), &Used { cost: usd(1.0), tokens: 0 }, Millis(0));
    };
    let spent = || account.balance(None, at(0)).spent;
    spend();
    let mark = account.mark(0);
    account.reload((usd(3.0), None), (mark, 0));
    assert_eq!(spent(), usd(4.0), "what is in no batch comes on top");
    account.hand(usd(1.0), 7);
    account.reload((usd(3.5), None), (account.mark(6), 6));
    assert_eq!(spent(), usd(4.5), "what is in a batch that is not begun does, too");
    account.reload((usd(9.0), None), (account.mark(6), 7));
    assert_eq!(spent(), usd(4.5), "the row may or may not have a batch that is begun");
    let mark = account.mark(7);
    account.begin_write();
    account.reload((usd(9.0), None), (account.mark(7), 7));
    account.end_write();
    account.reload((usd(9.0), None), (mark, 7));
    assert_eq!(spent(), usd(4.5), "the row was read before a reset was written");
    account.reload((usd(5.0), None), (account.mark(7), 7));
    assert_eq!(spent(), usd(5.0));
    // Of a request that was admitted against others alone.
    account.hand_besides(usd(0.5), 8);
    assert_eq!(spent(), usd(5.5));
    account.set(usd(1.0), None, 8);
    assert_eq!(spent(), usd(1.0));
}

#[test]
fn what_waits_for_the_database_stays_small_and_whole() {
    let account = Account::default();
    for batch in 0..1_000 {
        account.hand_besides(usd(1.0), batch);
    }
    assert_eq!(account.0.lock().handed.len(), HANDED_MAX);
    account.written(499);
    assert_eq!(account.balance(None, at(0)).spent, usd(1_000.0));
    account.written(999);
    let inner = account.0.lock();
    assert_eq!((inner.handed.len(), inner.saved), (0, usd(1_000.0)));
}

/// What happens to an account.
#[derive(Clone, Debug)]
enum Step {
    Enter(u64, u64),
    Settle(usize, u64, u64),
    Refund(usize),
    Wait(u64),
    Write,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u64..40, 0_u64..40).prop_map(|(tokens, cost)| Step::Enter(tokens, cost)),
        3 => (any::<usize>(), 0_u64..60, 0_u64..60).prop_map(|(at, tokens, cost)| Step::Settle(at, tokens, cost)),
        1 => any::<usize>().prop_map(Step::Refund),
        1 => (1_u64..30_000).prop_map(Step::Wait),
        1 => Just(Step::Write),
    ]
}

fn parts(parts: u64) -> Money {
    Money::of_parts(i64::try_from(parts).unwrap())
}

proptest! {
    /// Requests and calls in flight never exceed their limits; money is spent exactly once, in memory and in the row; a
    /// budget is exceeded by no more than estimates were too low, and one call.
    #[test]
    fn limits_hold_and_money_adds_up(
        rpm in 0_u64..8, parallel in 1_u64..6, max in 0_u64..200, steps in prop::collection::vec(step(), 0..60),
    ) {
        let budget = Some(Budget { max: parts(max), duration: None, raised: None, zone: TimeZone::UTC });
        let terms = Terms { rpm: Some(rpm), tpm: Some(100), parallel: Some(parallel), budget, soft: None, requests: None };
        let account = Account::default();
        let (mut now, mut row, mut spent, mut too_low, mut largest) = (0, Money::ZERO, Money::ZERO, Money::ZERO, Money::ZERO);
        let mut open: Vec<(Claim, u64)> = Vec::new();
        let mut begun: Vec<u64> = Vec::new();
        let (mut unwritten, mut batch) = (Vec::new(), 0);
        for step in steps {
            match step {
                Step::Enter(tokens, cost) => {
                    let claim = Claim { tokens, cost: parts(cost), ..Claim::default() };
                    if account.spent(&terms, at(now)).is_ok() && account.enter(&terms, &claim, at(now)).is_ok() {
                        open.push((claim, now));
                        begun.push(now);
                        largest = largest.max(claim.cost);
                    }
                }
                Step::Settle(which, tokens, cost) if !open.is_empty() => {
                    let (claim, began) = open.remove(which % open.len());
                    let used = Used { tokens, cost: parts(cost) };
                    account.settle(&terms, &claim, &used, Millis(began));
                    spent = spent.plus(used.cost);
                    unwritten.push(used.cost);
                    too_low = too_low.plus(used.cost.minus(claim.cost).max(Money::ZERO));
                }
                Step::Refund(which) if !open.is_empty() => {
                    let (claim, began) = open.remove(which % open.len());
                    account.refund(&terms, &claim, Millis(began));
                    let gone = begun.iter().position(|at| *at == began);
                    prop_assert!(gone.map(|gone| begun.remove(gone)).is_some());
                }
                Step::Settle(..) | Step::Refund(_) => {}
                Step::Wait(ms) => now += ms,
                Step::Write => {
                    batch += 1;
                    for cost in unwritten.drain(..) {
                        account.hand(cost, batch);
                        row = row.plus(cost);
                    }
                    // Its answer may be lost.
                    if batch % 2 == 0 {
                        account.written(batch);
                    }
                }
            }
            let recent = begun.iter().filter(|at| **at + 60_000 > now).count() as u64;
            prop_assert!(recent <= rpm);
            let balance = account.balance(terms.budget.as_ref(), at(now));
            prop_assert!(balance.in_flight <= parallel && balance.in_flight == open.len() as u64);
            prop_assert_eq!(balance.spent, spent);
            let reserved = open.iter().fold(Money::ZERO, |sum, (claim, _)| sum.plus(claim.cost));
            prop_assert_eq!(balance.reserved, reserved);
            prop_assert!(spent <= parts(max).plus(too_low).plus(largest));
        }
        let remainder = unwritten.iter().fold(Money::ZERO, |sum, cost| sum.plus(*cost));
        prop_assert_eq!(row.plus(remainder), spent);
    }
}
