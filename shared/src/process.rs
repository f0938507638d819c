//! Process from its runtime to its exit code.

use std::future::Future;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::runtime::Builder;

use crate::{environment, tls};

/// Time that background tasks have to end after the program. Tasks of libraries end at their next
/// await point; one that never awaits must not keep the process from exiting.
const LINGER: Duration = Duration::from_secs(3);

/// Runs a program to its end, with one thread per processor, and returns its exit code. An error is
/// written to standard error.
///
/// Must be called first in `main`: `program` reads its settings in an environment from which the
/// variables of Postgres's client are removed.
pub fn run(name: &str, program: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    environment::remove_postgres_variables();
    tls::install();
    let runtime = match Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{name}: the runtime cannot start its threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    raise_file_limit();
    let ended = runtime.block_on(program);
    let done = Instant::now();
    runtime.shutdown_timeout(LINGER);
    if done.elapsed() >= LINGER {
        tracing::warn!(
            "a thread still ran {LINGER:?} after the end of the program and is abandoned"
        );
    }
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Raises the limit of open files, and so of connections, to its maximum; the default is often
/// 1,024.
fn raise_file_limit() {
    let limits = getrlimit(Resource::RLIMIT_NOFILE);
    if let Err(error) = limits.and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most))
    {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_never_awaits_does_not_keep_the_process_from_exiting() {
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
        assert!(began.elapsed() < 2 * LINGER);
        assert_eq!(run("test", async { anyhow::bail!("no") }), ExitCode::FAILURE);
    }
}
