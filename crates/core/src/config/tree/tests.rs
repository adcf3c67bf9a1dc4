use super::*;
use crate::config::problem::{Problem, Severity};

fn parsed(yaml: impl AsRef<[u8]>) -> (Option<Node>, Vec<Problem>) {
    let mut problems = Problems::new(false);
    let file = problems.file("c.yaml");
    let node = parse(yaml.as_ref(), file, &mut problems);
    (node, problems.finish().0)
}
