-- Applies a batch of events to the generation in the `search_path`: all of it, or nothing.
--
-- checkpoint_*: the partitions touched, each once. One that is not at `checkpoint_expected` any more, or of another
--               epoch, refuses the batch: somebody else has gone on with it, or changed what is known of it.
-- opened_*:     accounts that are new.
-- account_*:    accounts as they stand after the batch, the new ones too.
-- history_*:    one element an event; none where history comes by COPY in the same transaction.
-- quarantine_*: what is set aside.
CREATE FUNCTION projection.apply(
    checkpoint_partitions smallint[], checkpoint_epochs bigint[], checkpoint_expected bigint[],
    checkpoint_positions bigint[], checkpoint_offsets bigint[], checkpoint_event_ids uuid[],
    checkpoint_recorded_at timestamptz[],
    opened_ids uuid[], opened_at timestamptz[], opened_partitions smallint[], opened_currencies text[],
    opened_owners text[], opened_metadata text[],
    account_ids uuid[], account_last_activity timestamptz[], account_versions bigint[], account_positions bigint[],
    account_balances bigint[], account_held bigint[], account_overdraft_limits bigint[],
    account_transaction_counts bigint[], account_statuses text[],
    history_account_ids uuid[], history_versions bigint[], history_positions bigint[], history_recorded_at timestamptz[],
    history_amounts bigint[], history_balances bigint[], history_held bigint[], history_overdraft_limits bigint[],
    history_transaction_counts bigint[], history_effective_at timestamptz[], history_statuses text[],
    history_types text[], history_references text[], history_metadata text[],
    history_reverses bigint[], history_hold_amounts bigint[], history_expires_at timestamptz[], history_hold_ids uuid[],
    history_transfer_ids uuid[], history_counterparties uuid[], history_counterparty_versions bigint[],
    history_offsets bigint[], history_published_at timestamptz[],
    quarantine_partitions smallint[], quarantine_positions bigint[], quarantine_offsets bigint[],
    quarantine_published_at timestamptz[],
    quarantine_account_ids uuid[], quarantine_versions bigint[], quarantine_waits boolean[], quarantine_reasons text[],
    quarantine_documents bytea[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    moved integer;
BEGIN
    UPDATE checkpoints AS c
       SET position = m.position, kafka_offset = m.kafka_offset, event_id = m.event_id,
           recorded_at = coalesce(m.recorded_at, c.recorded_at), applied_at = clock_timestamp()
      FROM unnest(checkpoint_partitions, checkpoint_epochs, checkpoint_expected, checkpoint_positions,
                  checkpoint_offsets, checkpoint_event_ids, checkpoint_recorded_at)
        AS m (partition, epoch, expected, position, kafka_offset, event_id, recorded_at)
     WHERE c.partition = m.partition AND c.epoch = m.epoch AND c.position = m.expected;
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved <> cardinality(checkpoint_partitions) THEN
        RAISE EXCEPTION 'a partition is at another position'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'checkpoint_is_where_expected';
    END IF;

    IF cardinality(opened_ids) > 0 THEN
        INSERT INTO accounts (account_id, opened_at, last_activity, version, position, balance, held, overdraft_limit,
                              transaction_count, partition, status, currency, owner, metadata)
        SELECT o.account_id, o.opened_at, o.opened_at, 0, 0, 0, 0, 0, 0, o.partition, 'open', o.currency, o.owner,
               o.metadata::jsonb
          FROM unnest(opened_ids, apply.opened_at, opened_partitions, opened_currencies, opened_owners, opened_metadata)
            AS o (account_id, opened_at, partition, currency, owner, metadata);
    END IF;

    UPDATE accounts AS a
       SET last_activity = n.last_activity, version = n.version, position = n.position, balance = n.balance,
           held = n.held, overdraft_limit = n.overdraft_limit, transaction_count = n.transaction_count,
           status = n.status
      FROM unnest(account_ids, account_last_activity, account_versions, account_positions, account_balances,
                  account_held, account_overdraft_limits, account_transaction_counts, account_statuses)
        AS n (account_id, last_activity, version, position, balance, held, overdraft_limit, transaction_count, status)
     WHERE a.account_id = n.account_id;

    INSERT INTO history (account_id, version, position, recorded_at, amount, balance, held, overdraft_limit,
                         transaction_count, effective_at, status, type, reference, metadata, reverses, hold_amount,
                         expires_at, hold_id, transfer_id, counterparty, counterparty_version, kafka_offset,
                         published_at)
    SELECT h.account_id, h.version, h.position, h.recorded_at, h.amount, h.balance, h.held, h.overdraft_limit,
           h.transaction_count, h.effective_at, h.status, h.type, h.reference, h.metadata::jsonb, h.reverses,
           h.hold_amount, h.expires_at, h.hold_id, h.transfer_id, h.counterparty, h.counterparty_version,
           h.kafka_offset, h.published_at
      FROM unnest(history_account_ids, history_versions, history_positions, history_recorded_at, history_amounts,
                  history_balances, history_held, history_overdraft_limits, history_transaction_counts,
                  history_effective_at, history_statuses, history_types, history_references, history_metadata,
                  history_reverses, history_hold_amounts, history_expires_at, history_hold_ids, history_transfer_ids,
                  history_counterparties, history_counterparty_versions, history_offsets, history_published_at)
        AS h (account_id, version, position, recorded_at, amount, balance, held, overdraft_limit, transaction_count,
              effective_at, status, type, reference, metadata, reverses, hold_amount, expires_at, hold_id, transfer_id,
              counterparty, counterparty_version, kafka_offset, published_at);

    IF cardinality(quarantine_partitions) > 0 THEN
        INSERT INTO quarantine (partition, position, kafka_offset, published_at, account_id, version, waits, reason,
                                document)
        SELECT q.partition, q.position, q.kafka_offset, q.published_at, q.account_id, q.version, q.waits, q.reason,
               q.document
          FROM unnest(quarantine_partitions, quarantine_positions, quarantine_offsets, quarantine_published_at,
                      quarantine_account_ids, quarantine_versions, quarantine_waits, quarantine_reasons,
                      quarantine_documents)
            AS q (partition, position, kafka_offset, published_at, account_id, version, waits, reason, document)
         -- A record that is no event and was discarded may be read again.
         WHERE q.account_id IS NOT NULL OR NOT EXISTS (
               SELECT FROM projection.discarded AS d
                WHERE d.account_id IS NULL AND d.partition = q.partition AND d.kafka_offset = q.kafka_offset
                  AND d.document = q.document)
        ON CONFLICT DO NOTHING;
    END IF;
END $$;

-- The version of an account as recorded at a moment; 0 if it was not there yet. `newest` is its present version. Looks
-- at about log2(newest) rows by their key: times never fall from one version to the next. A version whose event was
-- discarded has no row: then the row before it counts, and its version is what is given.
CREATE FUNCTION projection.version_at(account uuid, newest bigint, moment timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
DECLARE
    low bigint := 0;
    high bigint := newest;
    middle bigint;
    there bigint;
    its timestamptz;
    found bigint := 0;
BEGIN
    WHILE low < high LOOP
        middle := (low + high + 1) / 2;
        SELECT h.version, h.recorded_at INTO there, its FROM history AS h
         WHERE h.account_id = account AND h.version > low AND h.version <= middle ORDER BY h.version DESC LIMIT 1;
        IF there IS NULL THEN
            low := middle;
        ELSIF its <= moment THEN
            low := middle;
            found := there;
        ELSE
            high := there - 1;
        END IF;
    END LOOP;
    RETURN found;
END $$;
