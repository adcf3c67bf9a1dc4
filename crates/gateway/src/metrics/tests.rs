use std::sync::Arc;

use hale_core::record::{Ending, RequestRecord, Resends};
use hale_core::usage::{CountedBy, Usage};

use super::*;

fn names(metrics: &Metrics) -> Vec<Arc<str>> {
    metrics.all().iter().map(|series| series.subject.group.clone()).collect()
}

fn group(metrics: &Metrics, name: &str) -> Arc<Series> {
    metrics.group(&name.into())
}

fn deployment(metrics: &Metrics, group: &str, id: &str) -> Arc<Series> {
    let place = Place { id: id.into(), provider: "openai", model: "m".into(), api_base: "".into() };
    metrics.of(Subject { group: group.into(), deployment: Some(place) })
}

fn record(ending: Ending) -> RequestRecord {
    RequestRecord {
        call_id: Arc::default(),
        arrived_unix_ms: 0,
        operation: hale_core::operation::Operation::Chat,
        requested_model: None,
        user: None,
        identity: None,
        model_group: None,
        model_pattern: None,
        deployment: None,
        deployment_name: None,
        status: 200,
        ending,
        cause: None,
        stream: false,
        retries: 0,
        fallbacks: 0,
        resends: Resends::default(),
        rescue: None,
        duration_us: 20_000,
        first_content_us: None,
        overhead_us: 100,
        waited_us: 0,
        usage: Some(Usage { input: 7, output: 5, ..Usage::default() }),
        counted_by: CountedBy::Provider,
        cost_usd: Some(0.25),
        cache: None,
        calls: Vec::new(),
        billed_to: None,
        request_bytes: 0,
        response_bytes: 0,
        detail: None,
    }
}

fn input(series: &Series) -> u64 {
    let mut sum = 0;
    series.each(|_, cell| {
        for counters in [cell.answered(), cell.failed()].into_iter().flatten() {
            sum += counters.sum(Sum::Input);
        }
    });
    sum
}

#[test]
fn a_group_that_no_config_has_is_dropped_after_an_hour() {
    let metrics = Metrics::default();
    let kept = group(&metrics, "kept");
    drop(group(&metrics, "gone"));
    metrics.drop_gone(Millis(0));
    metrics.drop_gone(Millis(GONE_MS - 1));
    assert_eq!(names(&metrics), [Arc::<str>::from("gone"), Arc::from("kept")]);
    metrics.drop_gone(Millis(GONE_MS));
    assert_eq!(names(&metrics), [Arc::<str>::from("kept")]);
    assert!(Arc::ptr_eq(&kept, &group(&metrics, "kept")), "its counters go on");
}

#[test]
fn a_group_that_comes_back_in_time_goes_on_counting() {
    let metrics = Metrics::default();
    group(&metrics, "a").count(&record(Ending::Success), Measured::default());
    metrics.drop_gone(Millis(0));
    let back = group(&metrics, "a");
    metrics.drop_gone(Millis(GONE_MS));
    drop(back);
    metrics.drop_gone(Millis(GONE_MS + 1));
    assert_eq!(input(&group(&metrics, "a")), 7);
}

#[test]
fn what_is_gone_is_bounded() {
    let metrics = Metrics::default();
    for round in 0..4 {
        for number in 0..2 * GONE_MAX {
            let _group = group(&metrics, &format!("{round} {number}"));
        }
        metrics.drop_gone(Millis(round));
    }
    let names = names(&metrics);
    assert_eq!(names.len(), GONE_MAX);
    assert!(names.iter().all(|name| name.starts_with("3 ")), "the oldest went first");
}

#[test]
fn what_a_deployment_counted_stays_in_its_group_when_the_deployment_is_gone() {
    let metrics = Metrics::default();
    let own = group(&metrics, "m");
    let one = deployment(&metrics, "m", "a");
    one.count(&record(Ending::Success), Measured::default());
    one.count(&record(Ending::Error), Measured::default());
    one.count_client(
        (["x".into()].into(), &metrics.clients),
        &record(Ending::Success),
        Measured::default(),
    );
    own.count(&record(Ending::Error), Measured::default());
    drop(one);
    metrics.drop_gone(Millis(0));
    assert_eq!((metrics.all().len(), input(&own)), (2, 7));
    metrics.drop_gone(Millis(GONE_MS));
    assert_eq!((metrics.all().len(), input(&own)), (1, 28));
}

#[test]
fn answered_and_failed_requests_are_told_apart() {
    let metrics = Metrics::default();
    let series = deployment(&metrics, "m", "a");
    assert!(!series.has_counted());
    for ending in Ending::ALL {
        series.count(&record(ending), Measured::default());
    }
    assert!(series.has_counted());
    let mut counts = Vec::new();
    series.each(|_, cell| {
        for counters in [cell.answered(), cell.failed()].into_iter().flatten() {
            let mut reading = Reading::default();
            reading.add(&counters.duration);
            counts.push((reading.count(), counters.sum(Sum::NanoUsd)));
        }
    });
    assert_eq!(counts, [(1, 250_000_000), (4, 1_000_000_000)]);
}
