//! What the refusals of one request or probe taught, until an answer proves it.
//!
//! Held by the request or the probe. Always true: nothing is learned for others from a refusal alone, because a provider may quote what
//! the client wrote; it is learned once the same call without the parameter is answered.

use super::{Deployment, DeploymentIndex};
use crate::health::{Known, Lesson};

/// Lessons of one request, few of them.
#[derive(Debug, Default)]
pub struct Taught {
    lessons: Vec<(DeploymentIndex, Box<str>, Lesson)>,
}

impl Taught {
    /// Adds what a refusal by `deployment`, for `model`, its name there, teaches.
    pub fn add(&mut self, (deployment, model): (&Deployment, &str), lesson: Lesson) {
        self.lessons.push((deployment.index, model.into(), lesson));
    }

    /// How many refusals taught something.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lessons.len()
    }

    /// What is known about `model` of `deployment`, with what was taught about it.
    #[must_use]
    pub fn known(&self, (deployment, model): (&Deployment, &str)) -> Known {
        let known = deployment.known(model);
        self.about((deployment, model)).fold(known, Known::with)
    }

    /// An answer came for `model` of `deployment`: what was taught about it is true. Returns what is known from now on, if that is
    /// more than before.
    pub fn proved(&mut self, (deployment, model): (&Deployment, &str)) -> Option<Known> {
        if self.lessons.is_empty() {
            return None;
        }
        let learned = self.about((deployment, model)).map(|lesson| deployment.learn(model, lesson));
        let learned = learned.last();
        self.lessons.retain(|(index, name, _)| *index != deployment.index || **name != *model);
        learned
    }

    fn about<'t>(
        &'t self,
        (deployment, model): (&'t Deployment, &'t str),
    ) -> impl Iterator<Item = Lesson> + 't {
        let is_about = move |(index, name, _): &&(DeploymentIndex, Box<str>, Lesson)| {
            *index == deployment.index && **name == *model
        };
        self.lessons.iter().filter(is_about).map(|(_, _, lesson)| *lesson)
    }
}
