-- The log of account events. Postgres holds the truth; the topic and the views are made from it.
-- Every key starts with `partition`, so that a log that outgrows one machine can be spread by that column.

CREATE SCHEMA IF NOT EXISTS passbook;

-- Which store this is, and how many partitions its log has; one row, written once when the store is made.
CREATE TABLE passbook.store (
    only_one boolean PRIMARY KEY DEFAULT true CONSTRAINT store_is_one CHECK (only_one),
    -- Names the store in every record of the topic, so that records of another are noticed.
    store_id uuid NOT NULL,
    -- The same in Postgres as in Kafka; fixed, because an account's partition follows from it.
    partitions smallint NOT NULL CONSTRAINT store_has_partitions CHECK (partitions BETWEEN 1 AND 1000),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The last position of each partition. Its row stays locked until an append commits: position order is commit
-- order, and there are no gaps. Mostly empty pages keep the updates in place (HOT).
CREATE TABLE passbook.log_head (
    partition smallint PRIMARY KEY,
    position bigint NOT NULL,
    -- Of the last event: no event of a partition is recorded before the one ahead of it, whatever the clock does.
    recorded_at timestamptz NOT NULL
) WITH (fillfactor = 10);

-- What happened, for good. Columns are in an order that needs no padding.
CREATE TABLE passbook.events (
    -- Dense from 1 within the partition: what the relay and the projection count.
    position bigint NOT NULL,
    -- Dense from 1 within the account: what optimistic concurrency and ETags count.
    version bigint NOT NULL,
    -- For people, never for ordering.
    recorded_at timestamptz NOT NULL,
    partition smallint NOT NULL,
    -- The shape of `data`.
    schema_version smallint NOT NULL,
    account_id uuid NOT NULL,
    event_id uuid NOT NULL,
    -- The command that caused it; one for all events of a command.
    command_id uuid NOT NULL,
    type text NOT NULL,
    -- As it was written: json, not jsonb.
    data json NOT NULL,
    -- idempotency_key, correlation_id, causation_id, actor and traceparent, where the sender gave them.
    metadata json,
    CONSTRAINT events_position_is_unique PRIMARY KEY (partition, position),
    CONSTRAINT events_version_is_unique UNIQUE (partition, account_id, version)
);

-- Each idempotency key with what came of its command. The answer is rebuilt from this and the events.
CREATE TABLE passbook.commands (
    -- Of the command's request; the same key with another is refused.
    fingerprint bigint NOT NULL,
    -- The account's version after the command.
    version bigint NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    partition smallint NOT NULL,
    -- How many events it caused; the last of them has `version`.
    events smallint NOT NULL,
    account_id uuid NOT NULL,
    idempotency_key text NOT NULL,
    -- Why it was refused, if it was.
    refusal json,
    CONSTRAINT commands_key_is_unique PRIMARY KEY (partition, account_id, idempotency_key)
);

-- The holds that there ever were: an id is used once in an account, and those that are due are found. This and the two
-- tables after it are made from the events, in the append itself.
CREATE TABLE passbook.holds (
    -- When it ends by itself, if it does.
    expires_at timestamptz,
    partition smallint NOT NULL,
    account_id uuid NOT NULL,
    hold_id uuid NOT NULL,
    -- How it has ended: captured, released or expired; absent while it is open.
    ended text,
    CONSTRAINT holds_id_is_unique PRIMARY KEY (partition, account_id, hold_id)
);
CREATE INDEX holds_due ON passbook.holds (expires_at) WHERE ended IS NULL AND expires_at IS NOT NULL;

-- The transfers that there ever were: an id is used once in the store. The key is the id alone, by which it can be spread.
CREATE TABLE passbook.transfers (
    -- Of the leg that sent.
    version bigint NOT NULL,
    account_id uuid NOT NULL,
    transfer_id uuid NOT NULL,
    CONSTRAINT transfers_id_is_unique PRIMARY KEY (transfer_id)
);

-- The entries that were undone: each once.
CREATE TABLE passbook.reversals (
    version bigint NOT NULL,
    -- The version of the reversal.
    reversed_by bigint NOT NULL,
    partition smallint NOT NULL,
    account_id uuid NOT NULL,
    CONSTRAINT reversals_entry_is_reversed_once PRIMARY KEY (partition, account_id, version)
);

-- Accounts folded up to a version, every so many events: only a cache, written behind the append.
CREATE TABLE passbook.snapshots (
    partition smallint NOT NULL,
    account_id uuid NOT NULL,
    version bigint NOT NULL,
    -- Of the event with that version.
    position bigint NOT NULL,
    -- The shape of `state`; one the program does not know is passed over.
    state_version smallint NOT NULL,
    state json NOT NULL,
    PRIMARY KEY (partition, account_id, version)
);

-- History does not change, not even for the owner of the table.
CREATE FUNCTION passbook.refuse_to_change_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events are never updated, deleted or truncated'
        USING ERRCODE = 'insufficient_privilege', CONSTRAINT = 'events_are_never_changed';
END $$;

CREATE TRIGGER events_are_never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON passbook.events
    FOR EACH STATEMENT EXECUTE FUNCTION passbook.refuse_to_change_history();
