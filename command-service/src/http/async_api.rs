//! `GET /asyncapi.json`: the topic, described for other programs in AsyncAPI 3.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use passbook_shared::cloud_event;
use passbook_shared::event::AccountEvent;
use passbook_shared::event::schema::EventData;
use passbook_shared::partition::Partition;
use passbook_shared::topic_record::{CLOUD_EVENT, CONTENT_TYPE, PUBLISHED_AT};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{AppState, examples};

/// The topic's document
///
/// Describes the topic on Kafka for programs that read it, in AsyncAPI 3: a message and a schema for each type of event.
#[utoipa::path(get, operation_id = "get_topic_document", path = "/asyncapi.json", tag = "operations",
    responses((status = 200, description = "The document", body = Object, example = json!({"asyncapi": "3.0.0"}))))]
pub(super) async fn async_api(State(state): State<AppState>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], state.topic_document.clone()).into_response()
}

/// The document of a topic, in AsyncAPI 3. Every event type is a message, with an example that is encoded as real ones are.
pub fn topic_document(topic: &str, partitions: Partition) -> Value {
    let refer = |kind: &str, name: &str| json!({"$ref": format!("#/{kind}/{name}")});
    let named = |kind: &str| -> Map<String, Value> {
        AccountEvent::TYPES.iter().map(|name| ((*name).to_owned(), refer(kind, name))).collect()
    };
    let mut schemas = Vec::new();
    EventData::schemas(&mut schemas);
    let mut schemas: Map<String, Value> =
        schemas.into_iter().map(|(name, schema)| (name, json!(schema))).collect();
    schemas.insert("CloudEvent".to_owned(), json!(cloud_event::schema()));
    schemas.insert("RecordHeaders".to_owned(), headers());
    let messages: Map<String, Value> = examples::records()
        .map(|(event, record)| {
            (event.event_type().to_owned(), message(event.event_type(), &record))
        })
        .collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Passbook topic",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The topic to which the command-service publishes every committed event. Partition p holds the events \
                of partition p of the log, in their order. A record may be published more than once.",
            "contact": {"name": "Passbook"},
            "license": {"name": "Apache-2.0"},
            "tags": [{"name": "events", "description": "Changes of accounts, as they were recorded"}],
        },
        "defaultContentType": CLOUD_EVENT,
        "servers": {"kafka": {
            "host": "{brokers}",
            "protocol": "kafka",
            "description": "Apache Kafka",
            "variables": {"brokers": {"default": "127.0.0.1:9092", "description": "As `KAFKA_BROKERS` names them"}},
        }},
        "channels": {"events": {
            "address": topic,
            "description": "Every event of every account",
            "messages": named("components/messages"),
            "bindings": {"kafka": {"topic": topic, "partitions": partitions, "bindingVersion": "0.5.0"}},
        }},
        "operations": {"publish_events": {
            "action": "send",
            "summary": "The command-service publishes what it has committed",
            "description": "The key of a record is the account's id. Consumers skip a record whose `position` is not larger than the \
                last one of its partition.",
            "channel": refer("channels", "events"),
            "messages": named("channels/events/messages").values().collect::<Vec<_>>(),
        }},
        "components": {"messages": messages, "schemas": schemas},
    })
}

fn message(event_type: &str, record: &Value) -> Value {
    json!({
        "name": event_type,
        "title": event_type,
        "summary": format!("An event of type {event_type}"),
        "contentType": CLOUD_EVENT,
        "headers": {"$ref": "#/components/schemas/RecordHeaders"},
        "payload": {"allOf": [
            {"$ref": "#/components/schemas/CloudEvent"},
            {"type": "object", "properties": {
                "type": {"const": event_type},
                "data": {"$ref": format!("#/components/schemas/{event_type}Data")},
            }},
        ]},
        "bindings": {"kafka": {
            "key": {"type": "string", "format": "uuid", "description": "The account's id"},
            "bindingVersion": "0.5.0",
        }},
        "examples": [{
            "name": event_type,
            "headers": {CONTENT_TYPE: CLOUD_EVENT, PUBLISHED_AT: "1795521600012"},
            "payload": record,
        }],
    })
}

fn headers() -> Value {
    json!({
        "type": "object",
        "required": [CONTENT_TYPE, PUBLISHED_AT],
        "properties": {
            CONTENT_TYPE: {"type": "string", "const": CLOUD_EVENT},
            PUBLISHED_AT: {
                "type": "string",
                "pattern": "^[0-9]+$",
                "description": "Time of publishing, in milliseconds since 1970-01-01T00:00:00Z",
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_event_is_a_message_with_an_example() {
        let document = topic_document("accounts", 12);
        for &event_type in AccountEvent::TYPES {
            let message = &document["components"]["messages"][event_type];
            assert_eq!(message["examples"][0]["payload"]["type"], event_type, "{message}");
        }
    }
}
