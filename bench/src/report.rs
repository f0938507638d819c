//! Figures: one line each as they arrive, and all of them as JSON.

use std::io::Write as _;

use serde_json::{Map, Value};

/// Figures by the name of the benchmark.
#[derive(Debug, Default)]
pub(crate) struct Report {
    values: Map<String, Value>,
}

impl Report {
    pub(crate) fn put(&mut self, name: &str, value: Value) {
        self.values.insert(name.to_owned(), value);
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    pub(crate) fn into_json(self) -> Value {
        Value::Object(self.values)
    }

    /// Prints one row of the table.
    pub(crate) fn line(&self, name: &str, row: Option<&Value>) {
        let Some(Value::Object(row)) = row else { return };
        let cells: Vec<String> =
            row.iter().map(|(name, value)| format!("{name} {}", shown(value))).collect();
        // A reader that left early, such as `head`, must not end the measurements.
        let _ = writeln!(std::io::stdout(), "{name:24} {}", cells.join("   "));
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(number) if number.fract() != 0.0 => format!("{number:.2}"),
            Some(_) | None => number.to_string(),
        },
        Value::Object(parts) => {
            let parts: Vec<String> =
                parts.iter().map(|(name, value)| format!("{name} {}", shown(value))).collect();
            format!("({})", parts.join(", "))
        }
        _ => value.to_string(),
    }
}

/// Rounds to a whole number.
pub(crate) fn rounded(number: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "far below 2^52")]
    Value::from(number.round() as i64)
}

#[cfg(test)]
mod tests;
