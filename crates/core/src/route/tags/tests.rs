use super::*;

/// A deployment: its tags, `re:` before a pattern, `open` for `allow_fail_open`.
fn rules(text: &str) -> TagRules {
    let mut rules = TagRules::default();
    for word in text.split_whitespace() {
        match word.strip_prefix("re:") {
            Some(pattern) => rules.patterns.push(Regex::new(pattern).unwrap()),
            None if word == "open" => rules.fail_open = true,
            None => rules.tags.push(word.into()),
        }
    }
    rules
}

fn wish(tags: &str) -> TagWish {
    let mut wish = TagWish::default();
    tags.split_whitespace().for_each(|tag| wish.add(tag, ""));
    wish
}

/// Which of the deployments serve the request, by their place.
fn served(wish: &TagWish, deployments: &[&str], match_any: bool) -> Vec<usize> {
    let all: Vec<TagRules> = deployments.iter().map(|text| rules(text)).collect();
    let needed = if match_any { TagsNeeded::Any } else { TagsNeeded::All };
    let serve = wish.serve(&|| all.iter(), needed);
    let filter = TagFilter { wish, needed, serve };
    (0..all.len()).filter(|i| filter.admits(&all[*i])).collect()
}

#[test]
fn conditions_hold_for_every_deployment() {
    let asked = wish("!slow &eu ! &");
    assert!(asked.permits(&rules("eu paid")));
    assert!(!asked.permits(&rules("eu slow")));
    assert!(!asked.permits(&rules("paid")));
    assert!(asked.any.is_empty(), "conditions are no tags");
}

#[test]
fn any_or_all_of_the_tags_match() {
    let all = ["a", "a b c", "c", "default"];
    assert_eq!(served(&wish("a b"), &all, true), [0, 1]);
    assert_eq!(served(&wish("a b"), &all, false), [1]);
    assert_eq!(served(&wish("b !c"), &all, true), [] as [usize; 0], "b is known here");
    assert_eq!(served(&wish("a !b"), &all, true), [0]);
    assert_eq!(served(&wish("a &c"), &all, true), [1]);
}

#[test]
fn unknown_tags_and_none_are_for_default_deployments() {
    let all = ["paid", "default", "", "default slow"];
    assert_eq!(served(&wish("gold"), &all, true), [1, 3]);
    assert_eq!(served(&wish("gold !slow"), &all, true), [1]);
    assert_eq!(served(&wish(""), &all, true), [1, 3]);
    assert_eq!(served(&wish("!slow"), &all, true), [1]);
    assert_eq!(served(&wish("paid !paid"), &all, true), [] as [usize; 0], "paid is known here");
    assert_eq!(served(&wish(""), &["paid", ""], true), [0, 1]);
    assert_eq!(served(&wish("!paid"), &["paid", ""], true), [1]);
    assert_eq!(served(&wish("gold"), &["paid", ""], true), [] as [usize; 0]);
}

#[test]
fn required_tags_alone_choose_among_all() {
    let all = ["eu", "default", "eu fast"];
    assert_eq!(served(&wish("&eu"), &all, true), [0, 2]);
    assert_eq!(served(&wish("&eu &fast"), &all, true), [2]);
    assert_eq!(served(&wish("&eu !fast"), &all, true), [0]);
    assert_eq!(served(&wish("&us"), &all, true), [] as [usize; 0]);
}

#[test]
fn an_agent_matches_where_tags_do_not_forbid_it() {
    let agent = |tags: &str, agent: &str| TagWish { user_agent: agent.into(), ..wish(tags) };
    let all = ["re:^User-Agent:\\sclaude-code/", "default"];
    assert_eq!(served(&agent("", "claude-code/1.2"), &all, true), [0]);
    assert_eq!(served(&agent("", "curl/8"), &all, true), [1]);
    assert_eq!(served(&agent("", ""), &all, true), [1]);
    // A deployment for one agent does not serve others, even if no deployment does.
    assert_eq!(served(&agent("", "curl/8"), &all[..1], true), [] as [usize; 0]);
    assert_eq!(served(&agent("", ""), &all[..1], true), [0]);
    assert_eq!(served(&agent("&default", "claude-code/1.2"), &all, true), [1]);
    let strict = ["team re:claude", "re:claude", "default"];
    assert_eq!(served(&agent("other", "claude"), &strict, true), [0, 1]);
    assert_eq!(served(&agent("other", "claude"), &strict, false), [1], "tags come first");
}

#[test]
fn conditions_are_dropped_only_where_the_group_allows_it() {
    let all = ["eu open", "default", "us"];
    assert_eq!(served(&wish("&eu &us"), &all, true), [1], "both are known, no deployment has both");
    assert_eq!(served(&wish("!default &us &eu"), &["eu open", "us"], true), [0, 1]);
    assert_eq!(served(&wish("!default"), &["default open", "default"], true), [0, 1]);
    // An invented tag must not open what the known one would have decided.
    assert_eq!(served(&wish("&eu &invented"), &all, true), [] as [usize; 0]);
    assert_eq!(served(&wish("&invented"), &all, true), [1]);
    assert_eq!(served(&wish("&eu &us"), &["eu", "default", "us"], true), [] as [usize; 0]);
}

#[test]
fn a_marked_tag_is_meant_for_the_routing() {
    let mut marked = TagWish::default();
    for tag in ["route:gold", "route:&eu", "note", "route:"] {
        marked.add(tag, "route:");
    }
    assert_eq!(marked.any, [Box::from("gold"), Box::from("note")]);
    assert_eq!(marked.required, [Box::from("eu")]);
    assert_eq!(marked.confirmed, [Box::from("gold"), Box::from("eu")]);
    let mut gold = TagWish::default();
    gold.add("route:gold", "route:");
    assert_eq!(served(&gold, &["paid", "default"], true), [] as [usize; 0], "not for the default");
    assert_eq!(served(&wish("gold"), &["paid", "default"], true), [1]);
}
