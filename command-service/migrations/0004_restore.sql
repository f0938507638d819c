-- A log that was restored from a backup lacks events that the topic and the views may already have. Such a partition is
-- forked: nothing is appended to it or published from it until an operator accepts the restore, which raises the epoch.

-- The accepted restores; a row for each partition in each epoch from 1 on.
CREATE TABLE passbook.epochs (
    -- The last position of the partition that this epoch and all earlier ones have in common.
    position bigint NOT NULL CONSTRAINT epochs_position_is_not_negative CHECK (position >= 0),
    accepted_at timestamptz NOT NULL,
    epoch integer NOT NULL CONSTRAINT epochs_are_counted_from_one CHECK (epoch BETWEEN 1 AND 1000000),
    partition smallint NOT NULL,
    CONSTRAINT epochs_restore_is_accepted_once PRIMARY KEY (partition, epoch)
);

-- In the head's own row, so that the append learns of a fork without asking; absent unless the partition is forked.
ALTER TABLE passbook.log_head
    -- The last position that the topic holds of the events the log does not have.
    ADD COLUMN fork_position bigint,
    -- What was found, for people.
    ADD COLUMN fork_reason text,
    ADD COLUMN fork_noticed_at timestamptz;

-- The epoch of the store: 0 if no restore was ever accepted.
CREATE FUNCTION passbook.current_epoch() RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT coalesce(max(epoch), 0) FROM passbook.epochs WHERE partition = 0
$$;

-- Marks a partition as forked. What was found in an earlier epoch than the present one is of no account any more.
CREATE FUNCTION passbook.note_fork(of_partition smallint, in_epoch integer, at_position bigint, why text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    -- An acceptance that is under way is waited for; the next statement sees what has become of it.
    PERFORM 1 FROM passbook.log_head WHERE partition = of_partition FOR UPDATE;
    UPDATE passbook.log_head
       SET fork_position = at_position, fork_reason = why, fork_noticed_at = clock_timestamp()
     WHERE partition = of_partition AND fork_position IS NULL AND passbook.current_epoch() = in_epoch;
END $$;

-- Begins an epoch, and ends the forks: an operator accepts the log as it is now. `kept` are the last common positions of
-- the forked partitions; the others have all of their log in common with what came before. False, and nothing is changed,
-- if the store is not in the epoch expected, the new one is not later, or the forked partitions are not exactly those.
CREATE FUNCTION passbook.accept_restore(
    in_epoch integer, new_epoch integer, forked smallint[], kept bigint[]
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    -- Nothing is appended and no fork is marked until the epoch has begun.
    PERFORM 1 FROM passbook.log_head ORDER BY partition FOR UPDATE;
    IF passbook.current_epoch() IS DISTINCT FROM in_epoch
       OR (new_epoch > in_epoch) IS NOT TRUE
       OR EXISTS (SELECT partition FROM passbook.log_head WHERE fork_position IS NOT NULL EXCEPT SELECT unnest(forked))
       OR EXISTS (SELECT unnest(forked) EXCEPT SELECT partition FROM passbook.log_head WHERE fork_position IS NOT NULL)
    THEN
        RETURN false;
    END IF;
    INSERT INTO passbook.epochs (epoch, partition, position, accepted_at)
    SELECT new_epoch, h.partition, least(h.position, k.position), now()
      FROM passbook.log_head AS h LEFT JOIN unnest(forked, kept) AS k (partition, position) USING (partition);
    UPDATE passbook.log_head SET fork_position = NULL, fork_reason = NULL, fork_noticed_at = NULL
     WHERE fork_position IS NOT NULL;
    RETURN true;
END $$;

-- The append, which a forked partition refuses.
CREATE OR REPLACE FUNCTION passbook.append(
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
