//! Secrets that authenticate stored data, in a setting or in a file that another setting names.

use std::fmt;

use anyhow::bail;

use super::secret::read;

/// Minimum length of a key, in characters.
const SHORTEST: usize = 32;
/// Maximum number of keys: the present one and, during a rotation, another one.
const MOST: usize = 2;

/// Keys of a setting, hidden from debug output. An empty setting has none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Keys(Vec<String>);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

impl Keys {
    /// Parses one key per line. White space around a key is no part of it.
    ///
    /// # Errors
    /// Fails if a key is too short, or if there are more than two.
    pub fn of_text(text: &str) -> Result<Self, String> {
        let keys: Vec<String> = text
            .lines()
            .map(str::trim)
            .filter(|key| !key.is_empty())
            .map(ToOwned::to_owned)
            .collect();
        if keys.iter().any(|key| key.len() < SHORTEST) {
            return Err(format!("has a key with less than {SHORTEST} characters"));
        }
        if keys.len() > MOST {
            return Err(format!("has more than {MOST} keys"));
        }
        Ok(Self(keys))
    }

    /// Reads keys from a file. An empty path names none.
    ///
    /// # Errors
    /// Fails if the file cannot be read or has no keys, and like [`Keys::of_text`].
    pub fn of_file(path: &str) -> Result<Self, String> {
        if path.is_empty() {
            return Ok(Self::default());
        }
        let keys = Self::of_text(&read(path)?)?;
        if keys.0.is_empty() {
            Err(format!("names a file without a key: {path}"))
        } else {
            Ok(keys)
        }
    }

    /// Returns the keys of the setting `name`, or those of the file that `name`_FILE names.
    ///
    /// # Errors
    /// Fails if both are set.
    pub fn either<'a>(name: &str, given: &'a Self, of_file: &'a Self) -> anyhow::Result<&'a Self> {
        match (given.0.is_empty(), of_file.0.is_empty()) {
            (false, false) => bail!("{name} and {name}_FILE are both set: omit one"),
            (true, _) => Ok(of_file),
            (false, true) => Ok(given),
        }
    }

    /// Returns the keys, the present one first.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(character: char) -> String {
        character.to_string().repeat(SHORTEST)
    }

    #[test]
    fn keys_are_long_lines_at_most_two_and_not_shown() {
        let (new, old) = (key('n'), key('o'));
        let keys = Keys::of_text(&format!("\n  {new} \r\n{old}\n\n")).unwrap();
        assert_eq!(keys.as_slice(), [new.clone(), old.clone()]);
        assert_eq!(format!("{keys:?} {:?}", Some(&keys)), "2 keys Some(2 keys)");
        for none in ["", " ", "\n"] {
            assert_eq!(Keys::of_text(none), Ok(Keys::default()));
        }
        let said = Keys::of_text(&format!("{new}\n{}", &old[1..])).unwrap_err();
        assert!(said.contains("less than 32") && !said.contains(&old[1..]), "{said}");
        // White space around a key does not make it longer.
        assert!(Keys::of_text(&format!(" {} ", &new[1..])).is_err());
        let said = Keys::of_text(&format!("{new}\n{old}\n{new}")).unwrap_err();
        assert!(said.contains("more than 2") && !said.contains(&new), "{said}");
    }

    #[test]
    fn a_file_has_a_key_and_is_named_if_it_has_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let path = path.to_str().unwrap();
        assert!(Keys::of_file(path).unwrap_err().starts_with("names a file that can't be read"));
        std::fs::write(path, "\n").unwrap();
        assert_eq!(Keys::of_file(path).unwrap_err(), format!("names a file without a key: {path}"));
        std::fs::write(path, format!("{}\n", key('k'))).unwrap();
        assert_eq!(Keys::of_file(path).unwrap().as_slice(), [key('k')]);
        assert_eq!(Keys::of_file(""), Ok(Keys::default()), "the setting is empty");
    }

    #[test]
    fn keys_come_from_one_of_two_settings() {
        let [none, given, of_file] = ["", &key('g'), &key('f')].map(|t| Keys::of_text(t).unwrap());
        let either = |given, of_file| Keys::either("TOPIC_KEY", given, of_file);
        assert_eq!(either(&given, &none).unwrap(), &given);
        assert_eq!(either(&none, &of_file).unwrap(), &of_file);
        assert_eq!(either(&none, &none).unwrap(), &none);
        let said = either(&given, &of_file).unwrap_err().to_string();
        assert_eq!(said, "TOPIC_KEY and TOPIC_KEY_FILE are both set: omit one");
    }
}
