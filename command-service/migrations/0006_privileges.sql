-- The service's role writes no table itself: it reads, and calls functions that write as their owner.

-- Which builds can use this schema.
CREATE TABLE passbook.compatibility (
    only_one boolean PRIMARY KEY DEFAULT true CONSTRAINT compatibility_is_one CHECK (only_one),
    -- The newest migration that a build must know to run on this schema, whichever are applied. A migration that older
    -- builds can't live with raises it to its own number.
    oldest_build bigint NOT NULL
);
INSERT INTO passbook.compatibility (oldest_build) VALUES (6);

-- Authenticates a snapshot, under the service's key: whoever can only write to the database can't forge one.
ALTER TABLE passbook.snapshots ADD COLUMN mac bytea;

-- Locks the heads of partitions until the transaction ends: nothing else is appended to them meanwhile.
CREATE FUNCTION passbook.lock_heads(of_partitions smallint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM passbook.log_head WHERE partition = ANY (of_partitions) ORDER BY partition FOR UPDATE;
END $$;

-- Keeps snapshots, one element each.
CREATE FUNCTION passbook.save_snapshots(
    of_partitions smallint[], account_ids uuid[], versions bigint[], positions bigint[], of_state_version smallint,
    states text[], macs bytea[]
) RETURNS void LANGUAGE sql AS $$
    INSERT INTO passbook.snapshots (partition, account_id, version, position, state_version, state, mac)
    SELECT DISTINCT ON (s.partition, s.account_id, s.version)
           s.partition, s.account_id, s.version, s.position, of_state_version, s.state::json, s.mac
      FROM unnest(of_partitions, account_ids, versions, positions, states, macs)
        AS s (partition, account_id, version, position, state, mac)
    ON CONFLICT (partition, account_id, version)
    DO UPDATE SET position = excluded.position, state_version = excluded.state_version, state = excluded.state,
                  mac = excluded.mac
$$;

-- Deletes the idempotency keys on some pages of their table that are older than `keep`, and returns how many. None is
-- younger than a week.
CREATE FUNCTION passbook.forget_keys(first_page bigint, end_page bigint, keep interval) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    forgotten bigint;
BEGIN
    DELETE FROM passbook.commands
     WHERE ctid >= format('(%s,0)', first_page)::tid AND ctid < format('(%s,0)', end_page)::tid
       AND recorded_at < clock_timestamp() - greatest(keep, interval '7 days');
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    RETURN forgotten;
END $$;

-- All functions there are by now. Names are looked up where they are meant to be, whatever the caller's `search_path` is;
-- those that may write run as their owner; and `command-service migrate` says who may call them.
DO $$
DECLARE
    function record;
BEGIN
    FOR function IN SELECT p.oid::regprocedure AS signature, p.provolatile AS volatility, p.prorettype AS returns
                      FROM pg_proc AS p WHERE p.pronamespace = 'passbook'::regnamespace LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, passbook, pg_temp', function.signature);
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', function.signature);
        IF function.volatility = 'v' AND function.returns <> 'trigger'::regtype THEN
            EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER', function.signature);
        END IF;
    END LOOP;
END $$;
