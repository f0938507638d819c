//! Secrets of an installation, created once in a directory: a certificate authority, certificates
//! of the servers, passwords of the roles and users, and keys. One folder for each container, with
//! exactly the files that it needs.

mod authority;
mod certificate;
mod certificates;
mod compose;
mod directory;
mod kafka;
mod keys;
mod options;
mod passwords;
mod report;
#[cfg(test)]
mod tests;

use anyhow::Context;

pub use self::options::SetupOptions;

use self::authority::Authority;
use self::directory::Directory;
use self::report::Report;

/// Creates what is missing in the directory, and prints a report without secrets.
///
/// # Errors
/// The directory is not of this program, its files contradict each other, or a file cannot be read
/// or written.
#[expect(clippy::print_stdout, reason = "prints its result")]
pub fn run(options: &SetupOptions) -> anyhow::Result<()> {
    print!("{}", set_up(options)?);
    Ok(())
}

fn set_up(options: &SetupOptions) -> anyhow::Result<Report> {
    let mut directory = Directory::open(&options.directory, &authority::FILES)?;
    let authority = Authority::open(&mut directory, certificates::any)?;
    certificates::ensure(&mut directory, &authority, options)?;
    authority.copy(&mut directory)?;
    passwords::ensure(&mut directory)?;
    kafka::ensure(&mut directory)?;
    keys::ensure(&mut directory)?;
    let variables = match &options.compose_env {
        Some(file) => compose::ensure(file, options)
            .with_context(|| format!("--compose-env {}", file.display()))?,
        None => Vec::new(),
    };
    Ok(Report::new(directory, variables, options))
}
