//! Sets the `containers` cfg of the end-to-end tests from `PASSBOOK_TEST_CONTAINERS`.
//!
//! The test harness cannot ignore a test at run time. Decided here, tests that need containers are
//! reported as ignored without them, never as passed.

use std::process::{Command, Stdio};

const VARIABLE: &str = "PASSBOOK_TEST_CONTAINERS";

fn main() {
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    println!("cargo::rustc-check-cfg=cfg(containers)");
    #[expect(clippy::disallowed_methods, reason = "a build script has no options")]
    let containers = match std::env::var(VARIABLE).as_deref() {
        Ok("always") => true,
        Ok("never") => false,
        Ok("auto") | Err(_) => docker_answers(),
        Ok(other) => {
            println!("cargo::error={VARIABLE} is auto, always or never, not `{other}`");
            return;
        }
    };
    if containers {
        println!("cargo::rustc-cfg=containers");
    }
}

fn docker_answers() -> bool {
    let mut info = Command::new("docker");
    info.arg("info").stdout(Stdio::null()).stderr(Stdio::null());
    info.status().is_ok_and(|status| status.success())
}
