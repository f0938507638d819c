//! Examples of bodies, composed of the examples of their fields.

use serde_json::{Map, Value, json};

/// Returns an example of a schema, which may refer to `components` and must not be recursive. An
/// object gets the fields that have an example; `None` if a required field has none.
pub(super) fn of(schema: &Value, components: &Value) -> Option<Value> {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return of(&components["schemas"][name], components);
    }
    let given = [
        &schema["example"],
        &schema["examples"][0],
        &schema["default"],
        &schema["const"],
        &schema["enum"][0],
    ];
    if let Some(example) = given.into_iter().find(|example| !example.is_null()) {
        return Some(example.clone());
    }
    if let Some(all) = schema["allOf"].as_array() {
        let parts = all.iter().filter_map(|part| of(part, components));
        return Some(Value::Object(
            parts.filter_map(|part| part.as_object().cloned()).flatten().collect(),
        ));
    }
    let is_null = |schema: &&Value| schema["type"] == "null";
    if let Some(one) = ["oneOf", "anyOf"].iter().find_map(|of| schema[*of].as_array()) {
        return one
            .iter()
            .find(|schema| !is_null(schema))
            .and_then(|schema| of(schema, components));
    }
    Some(match type_of(schema)? {
        "object" => fields(schema, components)?,
        "array" => Value::Array(of(&schema["items"], components).into_iter().collect()),
        "boolean" => json!(false),
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or_else(|| json!(0)),
        "string" => match schema["format"].as_str() {
            Some("date-time") => json!("2026-11-24T12:00:00.000000Z"),
            Some("uuid") => json!("01990d2c-6f4a-7d3e-9b1a-5c8e2f7a4b60"),
            _ => return None,
        },
        _ => return None,
    })
}

/// Returns the type of a schema, ignoring null.
fn type_of(schema: &Value) -> Option<&str> {
    let types = schema["type"].as_array();
    types.map_or(schema["type"].as_str(), |types| {
        types.iter().filter_map(Value::as_str).find(|name| *name != "null")
    })
}

fn fields(schema: &Value, components: &Value) -> Option<Value> {
    let properties = schema["properties"].as_object().into_iter().flatten();
    let fields: Map<_, _> = properties
        .filter_map(|(name, field)| Some((name.clone(), of(field, components)?)))
        .collect();
    let mut required =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    required.all(|name| fields.contains_key(name)).then_some(Value::Object(fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_is_composed_of_the_examples_of_its_fields() {
        let components = json!({"schemas": {
            "Account": {"type": "object", "required": ["id"], "properties": {
                "id": {"type": "string", "format": "uuid"},
                "balance": {"type": "integer", "examples": [7]},
                "owner": {"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/Owner"}]},
                "note": {"type": ["string", "null"]},
            }},
            "Owner": {"type": "string", "enum": ["ada", "bob"]},
        }});
        let page = json!({"type": "object", "properties": {
            "data": {"type": "array", "items": {"$ref": "#/components/schemas/Account"}},
        }});
        let account =
            json!({"id": "01990d2c-6f4a-7d3e-9b1a-5c8e2f7a4b60", "balance": 7, "owner": "ada"});
        assert_eq!(of(&page, &components), Some(json!({ "data": [account] })));
        let note = json!({"note": {"type": "string"}});
        let lacks = json!({"type": "object", "required": ["note"], "properties": note});
        assert_eq!(of(&lacks, &components), None);
    }
}
