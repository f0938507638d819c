-- The application of a batch takes rows instead of columns. `projection.apply`, with an array for each column, stays for
-- builds that know no other.

-- The advance of a checkpoint: the epoch and the position that it must have, and what it becomes.
CREATE TYPE projection.checkpoint_move AS (
    partition smallint,
    epoch bigint,
    expected bigint,
    position bigint,
    kafka_offset bigint,
    event_id uuid,
    recorded_at timestamptz
);

-- The part of a new account that never changes.
CREATE TYPE projection.opened_account AS (
    account_id uuid,
    opened_at timestamptz,
    partition smallint,
    currency text,
    owner text,
    metadata text
);

-- An account as a batch leaves it.
CREATE TYPE projection.changed_account AS (
    account_id uuid,
    last_activity timestamptz,
    version bigint,
    position bigint,
    balance bigint,
    held bigint,
    overdraft_limit bigint,
    transaction_count bigint,
    status text
);

-- A row of `history`.
CREATE TYPE projection.entry AS (
    account_id uuid,
    version bigint,
    position bigint,
    recorded_at timestamptz,
    amount bigint,
    balance bigint,
    held bigint,
    overdraft_limit bigint,
    transaction_count bigint,
    effective_at timestamptz,
    status text,
    type text,
    reference text,
    metadata text,
    reverses bigint,
    hold_amount bigint,
    expires_at timestamptz,
    hold_id uuid,
    transfer_id uuid,
    counterparty uuid,
    counterparty_version bigint,
    kafka_offset bigint,
    published_at timestamptz
);

-- A row of `quarantine`.
CREATE TYPE projection.quarantined_record AS (
    partition smallint,
    position bigint,
    kafka_offset bigint,
    published_at timestamptz,
    account_id uuid,
    version bigint,
    waits boolean,
    reason text,
    document bytea
);

-- Applies a batch of events to the generation in the `search_path`, as a whole or not at all: the checkpoints move from the
-- epochs and positions expected, or nothing happens.
CREATE FUNCTION projection.apply_batch(
    moves projection.checkpoint_move[], opened projection.opened_account[], changed projection.changed_account[],
    entries projection.entry[], quarantined projection.quarantined_record[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    moved integer;
BEGIN
    UPDATE checkpoints AS c
       SET position = m.position, kafka_offset = m.kafka_offset, event_id = m.event_id,
           recorded_at = coalesce(m.recorded_at, c.recorded_at), applied_at = clock_timestamp()
      FROM unnest(moves) AS m
     WHERE c.partition = m.partition AND c.epoch = m.epoch AND c.position = m.expected;
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved <> cardinality(moves) THEN
        RAISE EXCEPTION 'a partition is at another position'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'checkpoint_is_where_expected';
    END IF;

    IF cardinality(opened) > 0 THEN
        INSERT INTO accounts (account_id, opened_at, last_activity, version, position, balance, held, overdraft_limit,
                              transaction_count, partition, status, currency, owner, metadata)
        SELECT o.account_id, o.opened_at, o.opened_at, 0, 0, 0, 0, 0, 0, o.partition, 'open', o.currency, o.owner,
               o.metadata::jsonb
          FROM unnest(opened) AS o;
    END IF;

    UPDATE accounts AS a
       SET last_activity = n.last_activity, version = n.version, position = n.position, balance = n.balance,
           held = n.held, overdraft_limit = n.overdraft_limit, transaction_count = n.transaction_count,
           status = n.status
      FROM unnest(changed) AS n
     WHERE a.account_id = n.account_id;

    INSERT INTO history (account_id, version, position, recorded_at, amount, balance, held, overdraft_limit,
                         transaction_count, effective_at, status, type, reference, metadata, reverses, hold_amount,
                         expires_at, hold_id, transfer_id, counterparty, counterparty_version, kafka_offset,
                         published_at)
    SELECT e.account_id, e.version, e.position, e.recorded_at, e.amount, e.balance, e.held, e.overdraft_limit,
           e.transaction_count, e.effective_at, e.status, e.type, e.reference, e.metadata::jsonb, e.reverses,
           e.hold_amount, e.expires_at, e.hold_id, e.transfer_id, e.counterparty, e.counterparty_version,
           e.kafka_offset, e.published_at
      FROM unnest(entries) AS e;

    IF cardinality(quarantined) > 0 THEN
        INSERT INTO quarantine (partition, position, kafka_offset, published_at, account_id, version, waits, reason,
                                document)
        SELECT q.partition, q.position, q.kafka_offset, q.published_at, q.account_id, q.version, q.waits, q.reason,
               q.document
          FROM unnest(quarantined) AS q
         -- A record that is no event and was discarded may be read again.
         WHERE q.account_id IS NOT NULL OR NOT EXISTS (
               SELECT FROM projection.discarded AS d
                WHERE d.account_id IS NULL AND d.partition = q.partition AND d.kafka_offset = q.kafka_offset
                  AND d.document = q.document)
        ON CONFLICT DO NOTHING;
    END IF;
END $$;
