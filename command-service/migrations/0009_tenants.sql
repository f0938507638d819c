-- Accounts may have a tenant, whose quotas limit its accounts and holds.

-- The number of open accounts and of open holds of each tenant.
CREATE TABLE passbook.tenants (
    tenant text PRIMARY KEY,
    accounts bigint NOT NULL,
    open_holds bigint NOT NULL
) WITH (fillfactor = 10);

-- Appends events and keys in one transaction, as a whole or not at all, and returns for each of the partitions touched the
-- position before its first event, and the time of recording. `head_partitions` ascends and has each of them once;
-- `head_counts` is the number of events that go there; `indexed` has the types, among those of the events, of which a row
-- of another table is made: an opening or a closing only if the account has a tenant.
CREATE OR REPLACE FUNCTION passbook.append_batch(
    head_partitions smallint[], head_counts int[], new_events passbook.new_event[], indexed text[],
    new_keys passbook.new_key[], asserted passbook.asserted_version[]
) RETURNS TABLE (base bigint, recorded timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, passbook, pg_temp AS $$
DECLARE
    bases bigint[] := '{}';
    -- One time for the whole append: both legs of a transfer are there at a time, or none.
    started timestamptz := clock_timestamp();
    at timestamptz := started;
    latest timestamptz;
    fork bigint;
BEGIN
    -- In ascending order, so that two appends never wait for each other in a ring.
    FOR head IN 1 .. cardinality(head_partitions) LOOP
        UPDATE passbook.log_head
           SET position = position + head_counts[head], recorded_at = greatest(recorded_at, started)
         WHERE partition = head_partitions[head]
        RETURNING position - head_counts[head], recorded_at, fork_position INTO STRICT base, latest, fork;
        IF fork IS NOT NULL THEN
            RAISE EXCEPTION 'partition % of the log is forked', head_partitions[head]
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'log_is_not_forked';
        END IF;
        bases := bases || base;
        at := greatest(at, latest);
    END LOOP;
    -- Another append was waited for, or the clock was set back.
    IF at > started THEN
        at := greatest(at, clock_timestamp());
        UPDATE passbook.log_head SET recorded_at = at WHERE partition = ANY (head_partitions);
    END IF;

    IF cardinality(asserted) > 0 AND EXISTS (
        SELECT FROM unnest(asserted) AS a
         WHERE a.version <> coalesce((SELECT e.version FROM passbook.events AS e
                                       WHERE e.partition = a.partition AND e.account_id = a.account_id
                                       ORDER BY e.version DESC LIMIT 1), 0)
    ) THEN
        RAISE EXCEPTION 'an account is at another version'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'asserted_version_is_current';
    END IF;

    INSERT INTO passbook.events (position, version, recorded_at, partition, schema_version, account_id, event_id,
                                 command_id, type, data, metadata)
    SELECT bases[e.head] + e.number, e.version, at, head_partitions[e.head], e.schema_version, e.account_id, e.event_id,
           e.command_id, e.type, e.data::json, e.metadata::json
      FROM unnest(new_events) AS e;

    IF 'MoneySent' = ANY (indexed) THEN
        INSERT INTO passbook.transfers (transfer_id, account_id, version)
        SELECT (e.data::json ->> 'transfer_id')::uuid, e.account_id, e.version
          FROM unnest(new_events) AS e
         WHERE e.type = 'MoneySent'
         -- In one order: two appends in other partitions that bring the same ids don't wait for each other in a ring.
         ORDER BY 1;
    END IF;

    IF 'EntryReversed' = ANY (indexed) THEN
        INSERT INTO passbook.reversals (partition, account_id, version, reversed_by)
        SELECT head_partitions[e.head], e.account_id, (e.data::json ->> 'version')::bigint, e.version
          FROM unnest(new_events) AS e
         WHERE e.type = 'EntryReversed';
    END IF;

    IF 'HoldPlaced' = ANY (indexed) THEN
        INSERT INTO passbook.holds (partition, account_id, hold_id, expires_at)
        SELECT head_partitions[e.head], e.account_id, (e.data::json ->> 'hold_id')::uuid,
               (e.data::json ->> 'expires_at')::timestamptz
          FROM unnest(new_events) AS e
         WHERE e.type = 'HoldPlaced';
    END IF;

    IF ARRAY['HoldCaptured', 'HoldReleased', 'HoldExpired'] && indexed THEN
        UPDATE passbook.holds AS h SET ended = e.ended
          FROM (SELECT head_partitions[t.head] AS partition, t.account_id, (t.data::json ->> 'hold_id')::uuid AS hold_id,
                       CASE t.type WHEN 'HoldCaptured' THEN 'captured' WHEN 'HoldReleased' THEN 'released'
                                   WHEN 'HoldExpired' THEN 'expired' END AS ended
                  FROM unnest(new_events) AS t) AS e
         WHERE e.ended IS NOT NULL
           AND h.partition = e.partition AND h.account_id = e.account_id AND h.hold_id = e.hold_id;
    END IF;

    IF ARRAY['AccountOpened', 'AccountClosed', 'HoldPlaced', 'HoldCaptured', 'HoldReleased', 'HoldExpired'] && indexed THEN
        INSERT INTO passbook.tenants AS t (tenant, accounts, open_holds)
        SELECT e.tenant, coalesce(sum(e.account), 0), coalesce(sum(e.hold), 0)
          FROM (SELECT n.metadata::json ->> 'tenant' AS tenant,
                       CASE n.type WHEN 'AccountOpened' THEN 1 WHEN 'AccountClosed' THEN -1 END AS account,
                       CASE n.type WHEN 'HoldPlaced' THEN 1 WHEN 'HoldCaptured' THEN -1 WHEN 'HoldReleased' THEN -1
                                   WHEN 'HoldExpired' THEN -1 END AS hold
                  FROM unnest(new_events) AS n) AS e
         WHERE e.tenant IS NOT NULL AND (e.account IS NOT NULL OR e.hold IS NOT NULL)
         GROUP BY e.tenant
         -- In one order, as above.
         ORDER BY e.tenant
        ON CONFLICT (tenant) DO UPDATE
        SET accounts = t.accounts + excluded.accounts, open_holds = t.open_holds + excluded.open_holds;
    END IF;

    IF cardinality(new_keys) > 0 THEN
        INSERT INTO passbook.commands (partition, account_id, idempotency_key, fingerprint, version, events, refusal)
        SELECT k.partition, k.account_id, k.key, k.fingerprint, k.version, k.events, k.refusal::json
          FROM unnest(new_keys) AS k;
    END IF;

    recorded := at;
    FOREACH base IN ARRAY bases LOOP
        RETURN NEXT;
    END LOOP;
END $$;
