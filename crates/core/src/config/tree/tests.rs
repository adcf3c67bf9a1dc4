use super::*;
use crate::config::problem::Problem;

fn parsed(yaml: impl AsRef<[u8]>) -> (Option<Node>, Vec<Problem>) {
    let mut problems = Problems::new(false);
    let file = problems.file("c.yaml");
    let node = parse(yaml.as_ref(), file, |_| None, &mut problems);
    (node, problems.finish().0)
}

fn good(yaml: &str) -> Node {
    let (node, problems) = parsed(yaml);
    assert_eq!(problems, []);
    node.unwrap()
}

fn refusal(yaml: impl AsRef<[u8]>) -> String {
    let (node, problems) = parsed(yaml);
    assert!(node.is_none());
    assert_eq!(problems.len(), 1);
    problems[0].to_string()
}

fn text<'n>(node: &'n Node, path: &[&str]) -> &'n str {
    let node = path.iter().fold(node, |node, key| node.as_map().unwrap().get(key).unwrap());
    node.text().unwrap()
}

#[test]
fn every_node_knows_its_place() {
    let node = good("a: 1\nb:\n  - x\n  - {c: \u{e9}, d: 'q'}\n");
    let map = node.as_map().unwrap();
    let places: Vec<(u32, u32)> = map.entries.iter().map(|e| (e.at.line, e.at.column)).collect();
    assert_eq!(places, [(1, 1), (2, 1)]);
    let items = map.get("b").unwrap().items().unwrap();
    assert_eq!((items[0].at.line, items[0].at.column), (3, 5));
    let inner = items[1].as_map().unwrap();
    assert_eq!((inner.entries[1].at.line, inner.entries[1].at.column), (4, 12));
    assert!(matches!(&inner.entries[1].value.value, Value::Scalar(_, Style::Quoted)));
}

#[test]
fn an_empty_file_is_null_and_a_bom_is_skipped() {
    for yaml in ["", "\n", "# only a comment\n", "---\n", "~", "\u{feff}"] {
        assert!(good(yaml).is_null(), "{yaml:?}");
    }
    assert_eq!(text(&good("\u{feff}a: 1\n"), &["a"]), "1");
    assert_eq!(text(&good("a: 1\r\nb: 2\r\n"), &["b"]), "2");
}

#[test]
fn aliases_and_merge_keys_follow_yaml_11() {
    let node = good(
        "base: &base {a: 1, b: 2}\nmore: &more {b: 3, c: 4}\none: {<<: *base, b: own, d: 5}\n\
         two: {d: 6, <<: [*base, *more]}\nlist: &l [1, *base]\nagain: *l\n\"<<\": text\n",
    );
    assert_eq!(text(&node, &["one", "b"]), "own");
    assert_eq!(text(&node, &["one", "a"]), "1");
    let one: Vec<&str> = node
        .as_map()
        .unwrap()
        .get("one")
        .unwrap()
        .as_map()
        .unwrap()
        .entries
        .iter()
        .map(|e| &*e.key)
        .collect();
    // The merged keys keep their place in front.
    assert_eq!(one, ["a", "b", "d"]);
    // Of several merged mappings the first one counts.
    assert_eq!(text(&node, &["two", "b"]), "2");
    assert_eq!(text(&node, &["two", "c"]), "4");
    assert_eq!(node.as_map().unwrap().get("again").unwrap().items().unwrap().len(), 2);
    assert_eq!(text(&node, &["<<"]), "text");
    assert!(refusal("a: {<<: 1}").contains("`<<` expects a mapping"));
    assert!(refusal("a: &a [*a]").contains("inside its own anchor"));
    assert!(refusal("a: *nothing").contains("YAML syntax"));
}

#[test]
fn duplicate_keys_name_both_lines_and_the_last_wins() {
    let (node, problems) = parsed("top:\n  - a: 1\n    b: 2\n    a: 3\n");
    assert_eq!(problems.len(), 1);
    assert_eq!(
        problems[0].to_string(),
        "c.yaml:4:5: top[0].a: duplicate key: also on line 2; the last one is used. remove one of them"
    );
    let node = node.unwrap();
    let first = &node.as_map().unwrap().get("top").unwrap().items().unwrap()[0];
    assert_eq!(text(first, &["a"]), "3");
    let mut strict = Problems::new(true);
    let file = strict.file("c.yaml");
    parse(b"a: 1\na: 2\n", file, |_| None, &mut strict);
    assert!(strict.failed());
}

#[test]
fn a_second_document_is_refused() {
    let text = refusal("a: 1\n---\nb: 2\n");
    assert!(text.starts_with("c.yaml:2:1: a second YAML document begins here"), "{text}");
    assert!(good("---\na: 1\n...\n").as_map().is_some());
}

#[test]
fn bytes_that_are_not_text_are_named_by_offset() {
    assert!(refusal(b"a: \xff\n").contains("not UTF-8: bad byte at offset 3"));
    assert!(refusal(b"\xEF\xBB\xBFa: \xff\n").contains("offset 6"));
    assert!(refusal(b"a: b\0c\n").contains("NUL byte at offset 4"));
    assert!(refusal(b"\xff\xfea\0").contains("UTF-16"));
}

#[test]
fn syntax_errors_show_their_line() {
    let text = refusal("model_list:\n  - model_name: gpt-4\n    litellm_params: [x\n");
    assert!(text.starts_with("c.yaml:"), "{text}");
    let text = refusal("a: 1\nb: : 2\n");
    assert!(text.starts_with("c.yaml:2:") && text.contains("`b: : 2`"), "{text}");
    let text = refusal("a:\n\tb: 1\n");
    assert!(text.contains("indent with spaces"), "{text}");
    let text = refusal("a:\n  - b: 1\n\t  c: 2\n");
    assert!(text.contains("indent with spaces"), "{text}");
}

#[test]
fn syntax_errors_never_show_a_secret() {
    for yaml in [
        "a:\n  api_key: \"sk-canary-1234567890\n",
        "a:\n  api_key: 'sk-canary-1234567890' x\n",
        "a:\n  api_key: \"sk-canary-1234567890\" : \"sk-canary-1234567890\"\n",
        "a: [\n  sk-canary-1234567890 : : x\n",
        "a:\n  b: {api_key: sk-canary-1234567890\n",
        "a:\n api_key: sk-canary-1234567890\n   : x\n",
        "sk-canary-1234567890\nb: 1\n",
        "a: *sk-canary-1234567890\n",
        "a: !sk-canary-1234567890 x\n",
    ] {
        let (_, problems) = parsed(yaml);
        let text: String = problems.iter().map(ToString::to_string).collect();
        assert!(!text.contains("canary"), "{text}");
        assert!(!text.is_empty(), "{yaml}");
    }
}

#[test]
fn bombs_are_refused_quickly() {
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for i in 1..12 {
        let list = vec![format!("*a{}", i - 1); 10].join(",");
        bomb.push_str(&format!("a{i}: &a{i} [{list}]\n"));
    }
    assert!(refusal(&bomb).contains("more than 1000000 values"));
    let merges = "a: &a {k: [1,2,3,4,5,6,7,8,9]}\n".to_owned()
        + &(0..200_000).map(|i| format!("b{i}: {{<<: *a}}\n")).collect::<String>();
    assert!(refusal(&merges).contains("more than 1000000 values"));
    assert!(refusal("[".repeat(1_000)).contains("nested deeper than 128"));
    assert!(refusal("{a: ".repeat(1_000)).contains("nested deeper than 128"));
    assert!(refusal("- ".repeat(1_000)).contains("nested deeper than 128"));
    let stairs: String = (0..1_000).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    assert!(refusal(stairs).contains("nested deeper than 128"));
    let mut chain = String::from("a0: &a0 [x]\n");
    for i in 1..200 {
        chain.push_str(&format!("a{i}: &a{i} [*a{}]\n", i - 1));
    }
    assert!(refusal(chain).contains("nested deeper than 128"));
    assert!(refusal(vec![b'a'; MAX_BYTES + 1]).contains("more than 10485760"));
}

#[test]
fn deep_but_legal_trees_are_read() {
    let deep = "[".repeat(MAX_DEPTH) + &"]".repeat(MAX_DEPTH);
    assert!(good(&deep).items().is_some());
}

#[test]
fn tags_of_the_core_schema_are_read_and_others_refused() {
    assert!(!good("!!str ~").is_null());
    assert!(matches!(&good("! 12").value, Value::Scalar(_, Style::Quoted)));
    assert!(good("!!map {a: !!int 1}").as_map().is_some());
    assert!(refusal("a: !!python/object:os.system x").contains("is not supported"));
    assert!(refusal("a: !env X").contains("is not supported"));
    assert!(refusal("? [a]\n: b\n").contains("a key must be plain text"));
}

#[test]
fn lines_within_brackets_may_begin_anywhere() {
    let node = good(
        "router_settings:\n  model_group_alias: {\n    \"a\": \"m\"\n  }\n  fallbacks: [\n  {a: [\nb\n]},\n  'it''s'\n]\n  x: 1\n\
         list:\n- [\n1,\n2\n]\nlast: {a: 'b\nc'\n}\n",
    );
    assert_eq!(text(&node, &["router_settings", "model_group_alias", "a"]), "m");
    assert_eq!(text(&node, &["router_settings", "x"]), "1");
    assert_eq!(text(&node, &["last", "a"]), "b c");
    let map = node.as_map().unwrap();
    let fallbacks = map.get("router_settings").unwrap().as_map().unwrap().get("fallbacks").unwrap();
    let items = fallbacks.items().unwrap();
    assert_eq!(items[1].text(), Some("it's"));
    // Places are those of the file.
    assert_eq!((items[0].at.line, items[0].at.column), (6, 3));
    assert_eq!((items[1].at.line, items[1].at.column), (9, 3));
    let numbers = map.get("list").unwrap().items().unwrap()[0].items().unwrap();
    assert_eq!((numbers[1].at.line, numbers[1].at.column), (15, 1));
    // What is wrong otherwise is reported as the file has it, and once.
    assert!(refusal("a: [\nb\nc: d\n").starts_with("c.yaml:"));
    let (_, problems) = parsed("a: 1\na: 2\nb: {\n}\n");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(refusal("key: {{ value }}\n").contains("a template was not filled in"));
}
