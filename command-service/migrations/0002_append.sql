-- The append: many commands, all or nothing, in one round trip. Who calls it has decided on states it believes to
-- be current; the unique keys of `events` and `commands` refuse what is not, and a refusal (which inserts no event)
-- is checked by `asserted_versions`. Then nothing of the batch has happened.
--
-- heads:    the partitions touched, ascending, each once; and how many events go to each.
-- events:   one element each; `event_heads` is the index of its partition in `head_partitions`, `event_numbers` its
--           place among the events of the batch that go there, from 1.
-- indexed:  whether an event is among them of which a row of another table is made, too.
-- commands: the keys to remember, one element each.
-- asserted: accounts on whose version a command without events relies.
CREATE FUNCTION passbook.append(
    head_partitions smallint[], head_counts int[],
    event_heads int[], event_numbers int[], account_ids uuid[], versions bigint[], event_ids uuid[],
    command_ids uuid[], types text[], schema_versions smallint[], data text[], metadata text[], indexed boolean,
    key_partitions smallint[], key_account_ids uuid[], keys text[], fingerprints bigint[],
    key_versions bigint[], key_events smallint[], refusals text[],
    asserted_partitions smallint[], asserted_account_ids uuid[], asserted_versions bigint[]
) RETURNS TABLE (base bigint, recorded timestamptz) LANGUAGE plpgsql AS $$
DECLARE
    bases bigint[] := '{}';
    -- One time for the whole append: both legs of a transfer are there at a time, or none.
    started timestamptz := clock_timestamp();
    at timestamptz := started;
    latest timestamptz;
BEGIN
    -- In ascending order, so that two appends never wait for each other in a ring.
    FOR head IN 1 .. cardinality(head_partitions) LOOP
        UPDATE passbook.log_head
           SET position = position + head_counts[head], recorded_at = greatest(recorded_at, started)
         WHERE partition = head_partitions[head]
        RETURNING position - head_counts[head], recorded_at INTO STRICT base, latest;
        bases := bases || base;
        at := greatest(at, latest);
    END LOOP;
    -- Another append was waited for, or the clock was set back.
    IF at > started THEN
        at := greatest(at, clock_timestamp());
        UPDATE passbook.log_head SET recorded_at = at WHERE partition = ANY (head_partitions);
    END IF;

    IF cardinality(asserted_versions) > 0 AND EXISTS (
        SELECT FROM unnest(asserted_partitions, asserted_account_ids, asserted_versions) AS a (p, id, v)
         WHERE a.v <> coalesce((SELECT e.version FROM passbook.events AS e
                                 WHERE e.partition = a.p AND e.account_id = a.id
                                 ORDER BY e.version DESC LIMIT 1), 0)
    ) THEN
        RAISE EXCEPTION 'an account is at another version'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'asserted_version_is_current';
    END IF;

    INSERT INTO passbook.events (position, version, recorded_at, partition, schema_version, account_id, event_id,
                                 command_id, type, data, metadata)
    SELECT bases[e.head] + e.number, e.version, at, head_partitions[e.head], e.schema_version,
           e.account_id, e.event_id, e.command_id, e.type, e.data::json, e.metadata::json
      FROM unnest(event_heads, event_numbers, account_ids, versions, event_ids, command_ids, types, schema_versions,
                  append.data, append.metadata)
        AS e (head, number, account_id, version, event_id, command_id, type, schema_version, data, metadata);

    IF indexed THEN
        IF 'MoneySent' = ANY (types) THEN
            INSERT INTO passbook.transfers (transfer_id, account_id, version)
            SELECT (e.data::json ->> 'transfer_id')::uuid, e.account_id, e.version
              FROM unnest(types, account_ids, versions, append.data) AS e (type, account_id, version, data)
             WHERE e.type = 'MoneySent'
             -- In one order: two appends in other partitions that bring the same ids don't wait for each other in a ring.
             ORDER BY 1;
        END IF;

        IF 'EntryReversed' = ANY (types) THEN
            INSERT INTO passbook.reversals (partition, account_id, version, reversed_by)
            SELECT head_partitions[e.head], e.account_id, (e.data::json ->> 'version')::bigint, e.version
              FROM unnest(event_heads, types, account_ids, versions, append.data) AS e (head, type, account_id, version, data)
             WHERE e.type = 'EntryReversed';
        END IF;

        IF 'HoldPlaced' = ANY (types) THEN
            INSERT INTO passbook.holds (partition, account_id, hold_id, expires_at)
            SELECT head_partitions[e.head], e.account_id, (e.data::json ->> 'hold_id')::uuid,
                   (e.data::json ->> 'expires_at')::timestamptz
              FROM unnest(event_heads, types, account_ids, append.data) AS e (head, type, account_id, data)
             WHERE e.type = 'HoldPlaced';
        END IF;

        IF ARRAY['HoldCaptured', 'HoldReleased', 'HoldExpired'] && types THEN
            UPDATE passbook.holds AS h SET ended = e.ended
              FROM (SELECT head_partitions[t.head] AS partition, t.account_id, (t.data::json ->> 'hold_id')::uuid AS hold_id,
                           CASE t.type WHEN 'HoldCaptured' THEN 'captured' WHEN 'HoldReleased' THEN 'released'
                                       WHEN 'HoldExpired' THEN 'expired' END AS ended
                      FROM unnest(event_heads, types, account_ids, append.data) AS t (head, type, account_id, data)) AS e
             WHERE e.ended IS NOT NULL
               AND h.partition = e.partition AND h.account_id = e.account_id AND h.hold_id = e.hold_id;
        END IF;
    END IF;

    IF cardinality(keys) > 0 THEN
        INSERT INTO passbook.commands (partition, account_id, idempotency_key, fingerprint, version, events, refusal)
        SELECT k.p, k.id, k.key, k.fingerprint, k.version, k.events, k.refusal::json
          FROM unnest(key_partitions, key_account_ids, keys, fingerprints, key_versions, key_events, refusals)
            AS k (p, id, key, fingerprint, version, events, refusal);
    END IF;

    recorded := at;
    FOREACH base IN ARRAY bases LOOP
        RETURN NEXT;
    END LOOP;
END $$;
