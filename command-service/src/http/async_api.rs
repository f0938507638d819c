//! `GET /asyncapi.json`: AsyncAPI 3 document of the topic

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use passbook_shared::cloud_event;
use passbook_shared::event::AccountEvent;
use passbook_shared::event::schema::EventData;
use passbook_shared::partition::PartitionCount;
use passbook_shared::topic_record::authentication::MAC;
use passbook_shared::topic_record::{CLOUD_EVENT, CONTENT_TYPE, PUBLISHED_AT};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{AppState, examples};

/// Get the topic's AsyncAPI document
///
/// Describes the Kafka topic for consumers: a message and a schema for each event type.
#[utoipa::path(get, operation_id = "get_topic_document", path = "/asyncapi.json",
    tag = "operations",
    security(("api_key" = ["log:read"])),
    responses((status = 200, description = "The AsyncAPI document", body = Object,
    example = json!({"asyncapi": "3.0.0"}))))]
pub(super) async fn async_api(State(state): State<AppState>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], state.topic_document.clone()).into_response()
}

/// Returns the AsyncAPI 3 document of a topic. Each event type is a message whose example is
/// encoded like a real record.
pub fn topic_document(topic: &str, partitions: PartitionCount) -> Value {
    let refer = |kind: &str, name: &str| json!({"$ref": format!("#/{kind}/{name}")});
    let named = |kind: &str| -> Map<String, Value> {
        AccountEvent::TYPES.iter().map(|name| ((*name).to_owned(), refer(kind, name))).collect()
    };
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Passbook topic",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Topic to which the command-service publishes every committed event. \
                            Topic partition p mirrors partition p of the log, in order. A record \
                            may be published more than once.",
            "contact": {"name": "Passbook"},
            "license": {"name": "Apache-2.0"},
            "tags": [{"name": "events", "description": "Recorded changes of accounts"}],
        },
        "defaultContentType": CLOUD_EVENT,
        "servers": {"kafka": {
            "host": "{brokers}",
            "protocol": "kafka",
            "description": "Apache Kafka",
            "variables": {"brokers": {"default": "127.0.0.1:9092", "description": "Value of \
                `KAFKA_BROKERS`"}},
        }},
        "channels": {"events": {
            "address": topic,
            "description": "All events of all accounts",
            "messages": named("components/messages"),
            "bindings": {"kafka": {
                "topic": topic,
                "partitions": partitions,
                "bindingVersion": "0.5.0",
            }},
        }},
        "operations": {"publish_events": {
            "action": "send",
            "summary": "The command-service publishes committed events",
            "description": "The key of a record is the account's id. Consumers skip a record \
                            whose `position` is not larger than the \
                last one of its partition.",
            "channel": refer("channels", "events"),
            "messages": named("channels/events/messages").values().collect::<Vec<_>>(),
        }},
        "components": {"messages": messages(), "schemas": schemas()},
    })
}

fn schemas() -> Map<String, Value> {
    let mut data = Vec::new();
    EventData::schemas(&mut data);
    let data = data.into_iter().map(|(name, schema)| (name, json!(schema)));
    let own = [("CloudEvent", json!(cloud_event::schema())), ("RecordHeaders", headers())];
    data.chain(own.map(|(name, schema)| (name.to_owned(), schema))).collect()
}

fn messages() -> Map<String, Value> {
    let message = |(event, record): (AccountEvent, Value)| {
        (event.event_type().to_owned(), message(event.event_type(), &record))
    };
    examples::records().map(message).collect()
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
            MAC: {
                "type": "string",
                "pattern": "^[0-9a-f]{8}:[0-9a-f]{64}$",
                "description": "Id of the key, and HMAC-SHA-256 of the record, if the topic is \
                    authenticated. Consumers may ignore it",
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_type_is_a_message_with_an_example() {
        let document = topic_document("accounts", PartitionCount::DEFAULT);
        for &event_type in AccountEvent::TYPES {
            let message = &document["components"]["messages"][event_type];
            assert_eq!(message["examples"][0]["payload"]["type"], event_type, "{message}");
        }
    }
}
