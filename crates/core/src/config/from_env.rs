//! Settings that an environment variable gives.
//!
//! Called by [`super::settings`]. Always true: a value that cannot be read has no effect, and is told with the variable's name.

use super::interpolate::Env;
use super::problem::{At, Path, Problems, Wrong};
use super::tree::{Node, Style};
use super::value;

fn env_node(env: &Env<'_>, name: &str) -> Option<Node> {
    env.get(name).map(|text| Node::scalar(&text, Style::Environment, At::whole(0)))
}

pub(super) fn env_flag(env: &Env<'_>, name: &str, problems: &mut Problems) -> Option<bool> {
    let node = env_node(env, name)?;
    env_value(value::flag(&node), name, problems)
}

pub(super) fn env_time(env: &Env<'_>, name: &str, problems: &mut Problems) -> Option<u64> {
    let node = env_node(env, name)?;
    env_value(value::time(&node, 0, 3_600_000), name, problems)
}

fn env_value<T>(read: Result<T, Wrong>, name: &str, problems: &mut Problems) -> Option<T> {
    read.map_err(|wrong| {
        let problem = format!("environment variable {name}: {}", wrong.problem);
        problems.warn(At::whole(0), &Path::Root, Wrong::new(problem, wrong.hint));
    })
    .ok()
}
