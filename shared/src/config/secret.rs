//! Settings that can contain a password, which no error message or log may repeat.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Command};

/// Parser of a setting by a function. Unlike clap's own parsers, its errors do not quote the value.
#[derive(Debug, Clone, Copy)]
pub struct Unrepeated<T>(pub fn(&str) -> Result<T, String>);

impl<T: Clone + Send + Sync + 'static> TypedValueParser for Unrepeated<T> {
    type Value = T;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<T, clap::Error> {
        let read = value.to_str().ok_or_else(|| "is not UTF-8".to_owned()).and_then(self.0);
        read.map_err(|reason| {
            let option = arg.map(ToString::to_string).unwrap_or_default();
            clap::Error::raw(ErrorKind::ValueValidation, format!("{option} {reason}\n"))
                .with_cmd(command)
        })
    }
}

/// Password, hidden from debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// Returns the password itself.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    /// Creates a password from text.
    ///
    /// # Errors
    /// Fails if the text is empty.
    pub fn of_text(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("is empty".to_owned()) } else { Ok(Self(text.to_owned())) }
    }

    /// Reads a password from a file, without a newline at its end.
    ///
    /// # Errors
    /// Fails if the file cannot be read or is empty.
    pub fn of_file(path: &str) -> Result<Self, String> {
        let text = read(path)?;
        Self::of_text(
            text.strip_suffix('\n').map_or(&*text, |line| line.strip_suffix('\r').unwrap_or(line)),
        )
    }
}

/// Returns the text of a file that a setting names.
pub(crate) fn read(path: &str) -> Result<String, String> {
    std::fs::read_to_string(Path::new(path))
        .map_err(|error| format!("names a file that can't be read: {error}"))
}

#[cfg(test)]
mod tests;
