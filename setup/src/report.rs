//! Report of a setup: the changes, the validity of certificates, and the next steps. No secrets.

use std::fmt;

use crate::certificates;
use crate::directory::Directory;
use crate::kafka;
use crate::options::SetupOptions;

/// Report of a setup.
pub(crate) struct Report {
    pub(crate) directory: Directory,
    variables: Vec<String>,
    options: SetupOptions,
}

impl Report {
    /// Returns the report on a directory, with the lines that were added to compose's file.
    pub(crate) fn new(
        directory: Directory,
        variables: Vec<String>,
        options: &SetupOptions,
    ) -> Self {
        Self { directory, variables, options: options.clone() }
    }

    /// Returns true if nothing was changed.
    pub(crate) fn is_unchanged(&self) -> bool {
        self.directory.written.is_empty() && self.variables.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.directory.path().display();
        if self.is_unchanged() {
            writeln!(f, "{path} is complete: nothing was changed")?;
        }
        for file in &self.directory.written {
            writeln!(f, "written: {path}/{file}")?;
        }
        for (line, file) in self.variables.iter().zip(self.options.compose_env.iter().cycle()) {
            writeln!(f, "written: {line} in {}", file.display())?;
        }
        for remark in &self.directory.remarks {
            writeln!(f, "remark: {path}/{remark}")?;
        }
        for (file, until) in certificates::ends(&self.directory).unwrap_or_default() {
            writeln!(f, "valid until {until}: {path}/{file}")?;
        }
        if self.options.compose_env.is_some() {
            return writeln!(f, "next: docker compose up --build --wait");
        }
        writeln!(f, "next: give each container its folder, as docker-compose.yml does")?;
        writeln!(f, "rights of Kafka's users, by kafka-acls.sh --bootstrap-server … --add:")?;
        for rule in kafka::RULES.lines() {
            writeln!(f, "  {rule}")?;
        }
        Ok(())
    }
}
