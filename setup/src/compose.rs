//! Variables of docker compose, in its file `.env`.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, ensure};
use passbook_shared::private_file;

use crate::options::SetupOptions;

/// Place of the directory, as docker-compose.yml reads it.
const PLACE: &str = "PASSBOOK_SECRETS";
/// Further names of the services, as docker-compose.yml reads them.
const HOSTS: &str = "PASSBOOK_HOSTS";

/// Adds the variables to the file; other lines stay. Returns the lines that were added.
///
/// # Errors
/// The file names another directory, or cannot be read or written.
pub(crate) fn ensure(file: &Path, options: &SetupOptions) -> anyhow::Result<Vec<String>> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).context("cannot be read"),
    };
    let (mut changed, mut lines) = (text.clone(), Vec::new());
    let place = place(file, &options.directory)?;
    match value(&text, PLACE) {
        Some(found) => ensure!(
            found == place,
            "{PLACE} is {found} there, and not {place}: change or remove that line"
        ),
        None => lines.push(add(&mut changed, PLACE, &place)),
    }
    let before: Vec<&str> = value(&text, HOSTS)
        .unwrap_or_default()
        .split(',')
        .filter(|host| !host.is_empty())
        .collect();
    let further = options.hosts.iter().map(String::as_str).filter(|host| !before.contains(host));
    let hosts: Vec<&str> = before.iter().copied().chain(further).collect();
    if hosts.len() > before.len() {
        lines.push(add(&mut changed, HOSTS, &hosts.join(",")));
    }
    if changed != text {
        private_file::write(file, changed.as_bytes())?;
    }
    Ok(lines)
}

/// Returns the directory as compose finds it from the place of the file.
fn place(file: &Path, directory: &Path) -> anyhow::Result<String> {
    let absolute = |path: &Path| std::path::absolute(path).context("the path has no place");
    let (file, directory) = (absolute(file)?, absolute(directory)?);
    let relative = file.parent().and_then(|parent| directory.strip_prefix(parent).ok());
    let place = relative.map_or_else(
        || directory.to_str().map(str::to_owned),
        |relative| relative.to_str().map(|relative| format!("./{relative}")),
    );
    place.context("the directory's path is not UTF-8")
}

/// Returns the value of a variable; that of its last line, as compose reads it.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    values.next_back().map(str::trim)
}

/// Sets a variable in the text, in place of earlier lines. Returns its line.
fn add(text: &mut String, name: &str, value: &str) -> String {
    let line = format!("{name}={value}");
    let is_other = |line: &&str| line.strip_prefix(name).is_none_or(|rest| !rest.starts_with('='));
    let lines: Vec<&str> = text.lines().filter(is_other).chain([&*line]).collect();
    *text = lines.join("\n") + "\n";
    line
}
