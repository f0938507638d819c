//! Parsing of bulk requests into requests for the lanes.

use std::collections::HashSet;
use std::fmt;

use passbook_shared::access::Reach;
use passbook_shared::http::extract::from_json;
use passbook_shared::http::problem::Problem;
use passbook_shared::recorded_event::CommandContext;
use passbook_shared::timestamp::Timestamp;
use serde::de::{self, Deserialize, Deserializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::command::{self, Read};
use crate::http::command_headers::{BulkHeaders, key_missing};
use crate::request::CommandRequest;

/// Maximum number of commands in a request.
pub(super) const MOST: usize = 1_000;
/// Maximum number of malformed commands that a problem lists.
const NAMED: usize = 20;
const COUNT: &str = "must be 1 to 1000 commands";

/// Body of the request; its commands are still raw JSON.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Bulk<'a> {
    atomic: Option<bool>,
    // Raw, so that a problem can name the index of its command.
    #[serde(borrow)]
    commands: Elements<'a>,
}

/// Raw commands. Deserialization stops at the first one beyond [`MOST`].
#[derive(Debug)]
struct Elements<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Elements<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ElementsVisitor)
    }
}

struct ElementsVisitor;

impl<'de> de::Visitor<'de> for ElementsVisitor {
    type Value = Elements<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of commands")
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut elements: A) -> Result<Elements<'de>, A::Error> {
        let mut commands = Vec::new();
        while let Some(command) = elements.next_element()? {
            if commands.len() == MOST {
                return Err(de::Error::custom(COUNT));
            }
            commands.push(command);
        }
        Ok(Elements(commands))
    }
}

/// Parsed request: one [`CommandRequest`] for each command.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) atomic: bool,
    pub(super) requests: Vec<CommandRequest>,
}

/// Parses the body into requests for the lanes.
///
/// # Errors
/// 400 `malformed_request` that names the field.
pub(super) fn read(
    body: &[u8],
    headers: &BulkHeaders,
    key_required: bool,
    now: Timestamp,
) -> Result<Set, Problem> {
    let Bulk { atomic, commands: Elements(commands) } = from_json(body)?;
    let (atomic, most) = (atomic.unwrap_or(false), commands.len());
    if commands.is_empty() {
        return Err(Problem::malformed("commands", COUNT));
    }
    let mut set = Set { atomic, requests: Vec::with_capacity(most) };
    let mut malformed = Vec::new();
    for (index, text) in commands.into_iter().enumerate() {
        let place = || format!("commands[{index}]");
        let read = if text.get().starts_with('{') {
            read_command(text, (key_required, now), &headers.reach)
                .map_err(|problem| problem.within(&place()))
        } else {
            Err(Problem::malformed(place(), "must be an object"))
        };
        let Read { account_id, command, idempotency_key, expected_version } = match read {
            Ok(read) => read,
            Err(problem) => {
                malformed.push(problem);
                if malformed.len() == NAMED { break } else { continue }
            }
        };
        let BulkHeaders { reach, dry_run, context } = headers;
        let (dry_run, command_id) = (*dry_run, Uuid::now_v7());
        let context = CommandContext { idempotency_key, ..context.clone() };
        let expected_versions = expected_version.map(|version| vec![version]);
        set.requests.push(CommandRequest {
            account_id,
            command,
            reach: reach.clone(),
            expected_versions,
            dry_run,
            command_id,
            context,
        });
    }
    if let Some(problem) = Problem::all_malformed(malformed) {
        return Err(problem);
    }
    if atomic {
        no_key_twice(&set.requests)?;
    }
    Ok(set)
}

fn read_command(
    text: &RawValue,
    (key_required, now): (bool, Timestamp),
    reach: &Reach,
) -> Result<Read, Problem> {
    let read = command::read(from_json(text.get().as_bytes())?, now, reach)?;
    match &read.idempotency_key {
        None if key_required => Err(key_missing("idempotency_key")),
        Some(_) | None => Ok(read),
    }
}

/// Refuses a key that occurs twice on an account: the second use would be a replay, which an atomic
/// set must not contain.
fn no_key_twice(requests: &[CommandRequest]) -> Result<(), Problem> {
    let mut keys = HashSet::new();
    for (index, request) in requests.iter().enumerate() {
        let of_account =
            request.context.idempotency_key.as_deref().map(|key| (request.account_id, key));
        if of_account.is_some_and(|of_account| !keys.insert(of_account)) {
            let detail = "is already used by another command of this set on the same account";
            return Err(Problem::malformed(format!("commands[{index}].idempotency_key"), detail));
        }
    }
    Ok(())
}
