//! Submissions that touch forked partitions.

#[cfg(test)]
mod tests;

use super::queue::Submission;
use crate::outcome::CommandError;
use crate::restore::standing::Standing;

pub(super) fn has_fork(standing: &Standing, submissions: &[Submission]) -> bool {
    standing.fork(submissions.iter().flat_map(|submission| submission.set.partitions())).is_some()
}

/// Answers submissions that touch a forked partition. Returns the others.
pub(super) fn refuse_forked(
    standing: &Standing,
    submissions: Vec<Submission>,
    in_doubt: bool,
) -> Vec<Submission> {
    if !standing.has_forks() {
        return submissions;
    }
    let mut open = Vec::with_capacity(submissions.len());
    for submission in submissions {
        match standing.fork(submission.set.partitions()) {
            None => open.push(submission),
            // An earlier attempt may have been appended before the fork was found.
            Some(_) if in_doubt => submission.fail(&CommandError::OutcomeUnknown),
            Some(fork) => submission.fail(&fork.into()),
        }
    }
    open
}
