//! Owns: what S3 asks of a bucket's policy beside its form, and whether a policy is public.

use super::actions::{ACTIONS, On};
use super::principals::Named;
use super::statement::{ResourcePattern, Statement};
use super::{Effect, Malformed, Policy};

impl Policy {
    /// Whether its resources are of that bucket, and its actions fit them.
    ///
    /// # Errors
    /// What S3 says when not: `Policy has invalid resource`, `Action does not apply to any resource(s) in
    /// statement`.
    pub fn check_bucket(&self, bucket: &str) -> Result<(), Malformed> {
        let inside = format!("{bucket}/");
        for (index, statement) in self.statements.iter().enumerate() {
            let place = format!("Statement[{index}]");
            let Some(resources) = &statement.resources else { continue };
            let of_bucket = |it: &&ResourcePattern| covers(it, bucket, &inside, None);
            if !resources.patterns.iter().all(|it| of_bucket(&it)) {
                return Err(Malformed::at(
                    "Policy has invalid resource",
                    &format!("{place}: not of the bucket {bucket}"),
                ));
            }
            if resources.negated || statement.actions.negated {
                continue;
            }
            for action in &statement.actions.patterns {
                let applies = ACTIONS
                    .iter()
                    .filter(|(name, _)| action.matches_folded(name, &|_| None))
                    .any(|(_, on)| {
                        resources.patterns.iter().any(|it| covers(it, bucket, &inside, Some(*on)))
                    });
                if !applies {
                    return Err(Malformed::at(
                        "Action does not apply to any resource(s) in statement",
                        &place,
                    ));
                }
            }
        }
        Ok(())
    }

    /// Whether it lets the world in, as Block Public Access understands it: a statement allows
    /// something to everybody, and no condition holds it to written-down values of the address, the
    /// network, the account or the organisation.
    pub fn is_public(&self) -> bool {
        let open = |statement: &Statement| {
            statement.effect == Effect::Allow
                && statement.principals.as_ref().is_some_and(|it| it.is_everybody())
                && !statement.conditions.iter().any(|condition| condition.narrows())
        };
        self.statements.iter().any(open)
    }

    /// Everyone that it names.
    pub(crate) fn named(&self) -> impl Iterator<Item = &Named> {
        self.statements.iter().filter_map(|it| it.principals.as_ref()).flat_map(|it| it.named())
    }
}

/// Whether the resource can be the bucket, or an object in it, or (when it does not matter) one of them.
fn covers(it: &ResourcePattern, bucket: &str, inside: &str, on: Option<On>) -> bool {
    let is_bucket = || {
        let pattern = it.express.as_ref().or(it.in_s3.as_ref());
        // A variable may stand for the bucket's name.
        pattern.is_some_and(|it| it.could_be(bucket))
    };
    let is_object = || it.in_s3.as_ref().is_some_and(|it| it.could_go_on_from(inside));
    match on {
        Some(On::Bucket) => is_bucket(),
        Some(On::Object) => is_object(),
        None => is_bucket() || is_object(),
    }
}
