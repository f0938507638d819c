//! A process, from its runtime to its exit code.

use std::future::Future;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::runtime::Builder;

use crate::environment;

/// How long what still runs may take once the program has done all it has to. Tasks that libraries started for
/// themselves end at their next wait; one that never waits must not keep the process from ending.
const LEFTOVERS: Duration = Duration::from_secs(3);

/// Runs a program to its end, on as many threads as there are processors. The exit code says whether it failed; why,
/// is on standard error. Called first in `main`: settings are read within `program`, in an environment without the
/// variables of Postgres's own client.
pub fn run(name: &str, program: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    environment::remove_postgres_variables();
    let runtime = match Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{name}: no threads to run on: {error}");
            return ExitCode::FAILURE;
        }
    };
    raise_file_limit();
    let ended = runtime.block_on(program);
    let done = Instant::now();
    runtime.shutdown_timeout(LEFTOVERS);
    if done.elapsed() >= LEFTOVERS {
        tracing::warn!("a thread was still at work {LEFTOVERS:?} after the end, and is cut off");
    }
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Lets the process open as many files, and so connections, as it may: what it is given at first is often 1,024.
fn raise_file_limit() {
    let limits = getrlimit(Resource::RLIMIT_NOFILE);
    if let Err(error) = limits.and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most))
    {
        tracing::warn!(%error, "the limit of open files can't be raised");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_never_waits_does_not_keep_the_process_from_ending() {
        let began = Instant::now();
        let ended = run("test", async {
            tokio::spawn(async {
                loop {
                    std::hint::spin_loop();
                }
            });
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok(())
        });
        assert_eq!(ended, ExitCode::SUCCESS);
        assert!(began.elapsed() < 2 * LEFTOVERS);
        assert_eq!(run("test", async { anyhow::bail!("no") }), ExitCode::FAILURE);
    }
}
