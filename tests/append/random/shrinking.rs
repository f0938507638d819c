//! Simpler variants of a round, to find the shortest that still fails.

use command_service::request::CommandRequest;

use super::steps::Step;

/// Change that simplifies a round.
pub(super) type Change = Box<dyn Fn(&mut Vec<Step>) + Send>;

/// Returns a change for each step, which removes it.
pub(super) fn without_steps(steps: &[Step]) -> Vec<Change> {
    let without = |n: usize| -> Change { Box::new(move |steps| drop(steps.remove(n))) };
    (0..steps.len()).map(without).collect()
}

/// Returns changes that remove a request, its key, its precondition, or the use of the second
/// instance.
pub(super) fn with_simpler_steps(steps: &[Step]) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for (n, step) in steps.iter().enumerate() {
        changes.push(Box::new(move |steps| steps[n].instance = 0));
        for m in 0..step.requests.len() {
            // An earlier change may have removed the request.
            let about = |change: fn(&mut CommandRequest)| -> Change {
                Box::new(move |steps| steps[n].requests.get_mut(m).map_or((), change))
            };
            changes.push(about(|request| request.context.idempotency_key = None));
            changes.push(about(|request| request.expected_versions = None));
        }
        for m in 0..step.requests.len() {
            changes.push(Box::new(move |steps| {
                if steps[n].requests.len() > 1 {
                    steps[n].requests.remove(m);
                }
            }));
        }
    }
    changes
}
