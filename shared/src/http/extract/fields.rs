//! JSON objects with a discriminator field.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::MapDeserializer;
use serde::de::{self, Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::json::malformed;
use crate::http::problem::Problem;

/// Maximum number of fields of an object; no request type has as many.
const MAX_FIELDS: usize = 64;

/// Fields of a JSON object. Some are taken by name, and the rest deserializes into a struct. Unlike
/// serde's `flatten` and `tag`, this detects unknown and repeated fields, and names the faulty
/// field.
#[derive(Debug)]
pub struct Fields<'a> {
    unread: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// Names of the fields taken, for the message about an unknown field.
    asked: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// Takes a required field.
    ///
    /// # Errors
    /// 400 `malformed_request` if the field is missing, repeated or invalid.
    pub fn need<T: Deserialize<'a>>(&mut self, name: &'static str) -> Result<T, Problem> {
        self.take(name)?.ok_or_else(|| Problem::malformed(name, format!("missing field `{name}`")))
    }

    /// Takes an optional field. It may be null if `T` allows that.
    ///
    /// # Errors
    /// 400 `malformed_request` if the field is repeated or invalid.
    pub fn take<T: Deserialize<'a>>(&mut self, name: &'static str) -> Result<Option<T>, Problem> {
        self.asked.push(name);
        let Some(place) = self.unread.iter().position(|(known, _)| known == name) else {
            return Ok(None);
        };
        let (_, value) = self.unread.remove(place);
        if self.unread.iter().any(|(known, _)| known == name) {
            return Err(Problem::malformed(name, format!("duplicate field `{name}`")));
        }
        // Deserialized like the fields of the rest, so that its messages are the same.
        let read = T::deserialize(value)
            .or_else(|_| serde_path_to_error::deserialize(value).map_err(malformed));
        read.map(Some).map_err(|problem| match problem.errors.into_iter().next() {
            Some(error) => Problem::malformed(name, error.detail),
            None => Problem::malformed(name, problem.detail),
        })
    }

    /// Deserializes the fields that were not taken.
    ///
    /// # Errors
    /// 400 `malformed_request` that names the field.
    pub fn rest<T: Deserialize<'a>>(self) -> Result<T, Problem> {
        let object = || {
            MapDeserializer::new(self.unread.iter().map(|(name, value)| (name.as_ref(), *value)))
        };
        T::deserialize(object()).or_else(|_| {
            let asked = || self.asked.iter().map(|name| format!(", `{name}`")).collect::<String>();
            serde_path_to_error::deserialize(object())
                .map_err(|error| malformed(error).also_known(&asked()))
        })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

/// Field name. Serde deserializes a plain [`Cow`] as owned.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> de::Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut entries: A) -> Result<Fields<'de>, A::Error> {
        // Allocated at the first field: a bulk request can have many empty objects.
        let mut unread = Vec::new();
        while let Some((Name(name), value)) = entries.next_entry()? {
            if unread.len() == MAX_FIELDS {
                return Err(de::Error::custom(format_args!("has more than {MAX_FIELDS} fields")));
            }
            if unread.is_empty() {
                unread.reserve_exact(8);
            }
            unread.push((name, value));
        }
        Ok(Fields { unread, asked: Vec::with_capacity(8) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Rest {
        number: u8,
        list: Option<Vec<u8>>,
    }

    fn read(text: &str) -> Result<(String, Rest), Problem> {
        let mut fields: Fields<'_> = crate::http::extract::from_json(text.as_bytes())?;
        Ok((fields.need("name")?, fields.rest()?))
    }

    #[test]
    fn fields_are_taken_in_any_order_and_the_rest_is_deserialized() {
        let (name, rest) = read(r#"{"number": 1, "n\u0061me": "a\n", "list": null}"#).unwrap();
        assert_eq!((name.as_str(), rest), ("a\n", Rest { number: 1, list: None }));
    }

    #[test]
    fn a_faulty_field_is_named() {
        for (text, field) in [
            (r#"{"number":1}"#, "name"),
            (r#"{"name":null,"number":1}"#, "name"),
            (r#"{"name":"a","number":1,"name":"a"}"#, "name"),
            (r#"{"name":"a"}"#, "number"),
            (r#"{"name":"a","number":1,"number":1}"#, "number"),
            (r#"{"name":"a","number":256}"#, "number"),
            (r#"{"name":"a","number":1,"list":[1,"2"]}"#, "list[1]"),
            (r#"{"name":"a","number":1,"other":2}"#, "other"),
        ] {
            let problem = read(text).unwrap_err();
            assert_eq!(problem.errors[0].field, field, "{text}: {}", problem.detail);
            assert!(!problem.detail.contains(" at line "), "{}", problem.detail);
        }
        let unknown = read(r#"{"name":"a","number":1,"other":2}"#).unwrap_err();
        assert!(
            unknown.detail.ends_with("expected `number` or `list`, `name`"),
            "{}",
            unknown.detail
        );
    }
}
