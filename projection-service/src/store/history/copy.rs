//! Encoder of history rows in Postgres's binary COPY format: `PGCOPY` header, per row the number of
//! fields and each field with its length, -1 at the end. See "Binary Format" in the documentation
//! of COPY.

use passbook_shared::timestamp::Timestamp;

use super::Row;
use crate::projection::{Hold, Transfer};
use crate::store::metadata;

const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const FIELDS: i16 = 24;
const ABSENT: i32 = -1;
/// Postgres counts microseconds from 2000-01-01.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// Version byte that precedes a binary jsonb.
const JSONB: u8 = 1;

pub(super) fn encode(rows: &[Row<'_>]) -> Vec<u8> {
    // An estimate of the size of a row; the buffer grows if it is exceeded.
    let mut out = Vec::with_capacity(HEADER.len() + rows.len() * 256);
    out.extend_from_slice(HEADER);
    for row in rows {
        let after = &row.entry.after;
        out.extend_from_slice(&FIELDS.to_be_bytes());
        bytes(&mut out, row.account_id.as_bytes());
        number(&mut out, after.version);
        number(&mut out, row.position);
        time(&mut out, row.recorded_at);
        optional(&mut out, row.entry.amount, number);
        number(&mut out, after.balance);
        number(&mut out, after.held);
        number(&mut out, after.overdraft_limit);
        number(&mut out, after.transaction_count);
        optional(&mut out, row.entry.effective_at, time);
        bytes(&mut out, after.status.as_str().as_bytes());
        bytes(&mut out, row.event_type.as_bytes());
        optional(&mut out, row.entry.reference.map(str::as_bytes), bytes);
        optional(&mut out, metadata::text(row.entry.metadata), jsonb);
        optional(&mut out, row.entry.reverses, number);
        hold(&mut out, row.entry.hold);
        transfer(&mut out, row.entry.transfer);
        optional(&mut out, row.kafka_offset, number);
        optional(&mut out, row.published_at, time);
        optional(&mut out, row.entry.owner.map(str::as_bytes), bytes);
    }
    out.extend_from_slice(&(-1_i16).to_be_bytes());
    out
}

fn hold(out: &mut Vec<u8>, hold: Option<Hold>) {
    // A row has the same number of fields with and without a hold.
    let Some(hold) = hold else { return absent::<3>(out) };
    number(out, hold.amount);
    optional(out, hold.expires_at, time);
    bytes(out, hold.hold_id.as_bytes());
}

fn transfer(out: &mut Vec<u8>, transfer: Option<Transfer>) {
    let Some(transfer) = transfer else { return absent::<3>(out) };
    bytes(out, transfer.transfer_id.as_bytes());
    bytes(out, transfer.counterparty.as_bytes());
    number(out, transfer.counterparty_version);
}

fn number(out: &mut Vec<u8>, value: i64) {
    bytes(out, &value.to_be_bytes());
}

fn time(out: &mut Vec<u8>, moment: Timestamp) {
    number(out, moment.as_micros() - EPOCH_MICROS);
}

fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    length(out, value.len());
    out.extend_from_slice(value);
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that `optional` expects")]
fn jsonb(out: &mut Vec<u8>, text: String) {
    // The length includes the version byte.
    length(out, text.len() + 1);
    out.push(JSONB);
    out.extend_from_slice(text.as_bytes());
}

fn optional<T>(out: &mut Vec<u8>, value: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) {
    match value {
        Some(value) => write(out, value),
        None => absent::<1>(out),
    }
}

fn absent<const FIELDS: usize>(out: &mut Vec<u8>) {
    out.extend_from_slice([ABSENT.to_be_bytes(); FIELDS].as_flattened());
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "a field is far smaller than 2 GiB"
)]
fn length(out: &mut Vec<u8>, bytes: usize) {
    out.extend_from_slice(&(bytes as i32).to_be_bytes());
}
