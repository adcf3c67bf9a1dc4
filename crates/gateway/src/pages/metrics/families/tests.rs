use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use super::*;

fn all() -> impl Iterator<Item = &'static Family> {
    FAMILIES.iter().copied().flatten()
}

#[test]
fn every_family_has_one_row_with_help_a_unit_and_labels_of_its_own() {
    let mut names = BTreeSet::new();
    for family in all() {
        let name = family.name;
        assert!(names.insert(name), "{name} twice");
        assert!(!family.help.is_empty() && !family.help.ends_with('.'), "{name}");
        let has_own = name.starts_with("hale_") || name.starts_with("process_");
        assert_ne!(has_own, family.is_the_references(), "{name}");
        assert!(!name.ends_with("_total") && !name.ends_with("_info_info"), "{name}");
        let labels: BTreeSet<&str> = family.labels.iter().map(|label| label.name()).collect();
        assert_eq!(labels.len(), family.labels.len(), "{name} has a label twice");
        assert!(!labels.contains("le"), "{name}");
        // A number without a unit is a state, which its help explains.
        assert!(!family.unit.is_empty() || family.kind == Kind::Gauge, "{name}");
    }
}

/// The table of `docs/metrics.md`.
fn table() -> String {
    let mut table =
        String::from("| name | type | unit | labels | what it is |\n|---|---|---|---|---|\n");
    for family in all() {
        let end = if family.kind == Kind::Counter { "_total" } else { "" };
        let labels: Vec<String> =
            family.labels.iter().map(|label| format!("`{}`", label.name())).collect();
        let (name, kind, unit) = (family.name, family.kind.name(), family.unit);
        let (labels, help) = (labels.join(", "), family.help);
        writeln!(table, "| `{name}{end}` | {kind} | {unit} | {labels} | {help} |").unwrap();
    }
    table
}

#[test]
fn the_page_of_metrics_has_each_family() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (head, _) = page.split_once("| name | type | unit |").expect("the page has the table");
    let wanted = format!("{head}{}", table());
    if std::env::var_os("HALE_BLESS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap();
    assert!(page == wanted, "HALE_BLESS=1 cargo test -p hale-gateway --lib families writes it");
}

#[test]
fn the_names_that_a_config_may_choose_are_those_that_are_served() {
    let own: BTreeSet<&str> =
        all().filter(|family| family.is_the_references()).map(|family| family.name).collect();
    let known: BTreeSet<&str> = hale_core::config::served_metrics().iter().copied().collect();
    let services: BTreeSet<&str> = own.difference(&known).copied().collect();
    assert!(
        services.iter().all(|name| name.contains("_redis_") || name.contains("_postgres_")),
        "{services:?}"
    );
    assert_eq!(known.difference(&own).copied().collect::<Vec<_>>(), Vec::<&str>::new());
}
