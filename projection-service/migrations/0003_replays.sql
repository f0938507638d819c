-- What was asked for: views built anew, or taken back and applied again.
CREATE TABLE projection.replays (
    replay_id uuid PRIMARY KEY,
    -- From where, as the API has it: "beginning", {"time": "…"}, {"partition_offsets": {"3": 1000}}, …
    asked_for jsonb NOT NULL,
    -- noticed: offsets were reset, and Kafka does not know yet that we have seen it; waiting: for its turn; running;
    -- comparing: the new views with the live ones; done, failed or cancelled: it has ended.
    state text NOT NULL CONSTRAINT replays_state_is_known
        CHECK (state IN ('noticed', 'waiting', 'running', 'comparing', 'done', 'failed', 'cancelled')),
    -- What it builds, or changes.
    generation integer,
    -- Generations that are not live are kept, too, until another replay that does not say so.
    keep boolean NOT NULL DEFAULT false,
    -- Somebody wants it to end.
    cancel boolean NOT NULL DEFAULT false,
    events_done bigint NOT NULL DEFAULT 0,
    -- Absent until it is known.
    events_total bigint,
    -- How many the topic did not have: they were taken from the log.
    events_from_log bigint NOT NULL DEFAULT 0,
    -- Since it was started, or started again.
    events_per_second double precision,
    -- Rows of the new views that are not as in the live ones, at the same positions; and some of them.
    differences bigint,
    samples jsonb,
    -- What ended it, or what it waits for.
    error text,
    asked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at timestamptz,
    ended_at timestamptz
);
CREATE INDEX replays_by_time ON projection.replays (asked_at);

-- The version of an account at a position of its partition; 0 if it was not there yet. `newest` is its present version.
-- Versions whose events were discarded have no row, as in `version_at`.
CREATE FUNCTION projection.version_at_position(account uuid, newest bigint, place bigint) RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
DECLARE
    low bigint := 0;
    high bigint := newest;
    middle bigint;
    there bigint;
    its bigint;
    found bigint := 0;
BEGIN
    WHILE low < high LOOP
        middle := (low + high + 1) / 2;
        SELECT h.version, h.position INTO there, its FROM history AS h
         WHERE h.account_id = account AND h.version > low AND h.version <= middle ORDER BY h.version DESC LIMIT 1;
        IF there IS NULL THEN
            low := middle;
        ELSIF its <= place THEN
            low := middle;
            found := there;
        ELSE
            high := there - 1;
        END IF;
    END LOOP;
    RETURN found;
END $$;

-- Takes the views of a partition, in the generation in the `search_path`, back to a position, by their own history.
-- Reading goes on at `read_from`. Whoever writes them begins anew.
CREATE FUNCTION projection.rewind(of_partition smallint, to_position bigint, read_from bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    CREATE TEMPORARY TABLE rewound ON COMMIT DROP AS
    SELECT a.account_id, projection.version_at_position(a.account_id, a.version, to_position) AS version
      FROM accounts AS a WHERE a.partition = of_partition AND a.position > to_position;
    ANALYZE rewound;

    DELETE FROM history AS h USING rewound AS r WHERE h.account_id = r.account_id AND h.version > r.version;
    DELETE FROM accounts AS a USING rewound AS r WHERE a.account_id = r.account_id AND r.version = 0;
    UPDATE accounts AS a
       SET last_activity = h.recorded_at, version = h.version, position = h.position, balance = h.balance,
           held = h.held, overdraft_limit = h.overdraft_limit, transaction_count = h.transaction_count,
           status = h.status
      FROM rewound AS r JOIN history AS h ON h.account_id = r.account_id AND h.version = r.version
     WHERE a.account_id = r.account_id;
    -- Discarded events up to there stay passed over: they are not read again, and what follows on them is.
    UPDATE accounts AS a SET last_activity = d.recorded_at, version = d.version, position = d.position
      FROM (SELECT DISTINCT ON (e.account_id) e.account_id, e.recorded_at, e.version, e.position
              FROM projection.discarded AS e JOIN rewound AS r USING (account_id)
             WHERE e.position <= to_position AND e.passed_over ORDER BY e.account_id, e.version DESC) AS d
     WHERE a.account_id = d.account_id AND d.version > a.version;
    DELETE FROM quarantine AS q
     WHERE q.partition = of_partition AND (q.position > to_position OR q.position IS NULL AND q.kafka_offset >= read_from);
    UPDATE checkpoints AS c
       SET position = to_position, epoch = c.epoch + 1, kafka_offset = read_from, event_id = NULL, recorded_at = NULL
     WHERE c.partition = of_partition;
END $$;

-- Takes an account out of the views. Whoever writes its partition begins anew.
CREATE FUNCTION projection.forget_account(account uuid, of_partition smallint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM history AS h WHERE h.account_id = account;
    DELETE FROM accounts AS a WHERE a.account_id = account;
    DELETE FROM quarantine AS q WHERE q.account_id = account;
    UPDATE checkpoints AS c SET epoch = c.epoch + 1 WHERE c.partition = of_partition;
END $$;

-- Rows of one generation that are not as in another: how many, and some of them, each as both have it. How events came
-- into the views is their own in each.
CREATE FUNCTION projection.differences(of_generation integer, from_generation integer, most integer,
                                       OUT differences bigint, OUT samples jsonb) LANGUAGE plpgsql AS $$
DECLARE
    delivery CONSTANT text[] := ARRAY['kafka_offset', 'published_at', 'applied_at'];
    name text;
    key text;
    ours text;
    theirs text;
    counted bigint;
    few jsonb;
BEGIN
    differences := 0;
    samples := '[]';
    FOR name, key IN SELECT * FROM (VALUES ('accounts', 'account_id'), ('history', 'account_id, version')) AS v LOOP
        SELECT string_agg(format('a.%I', c.attname), ', '), string_agg(format('b.%I', c.attname), ', ')
          INTO ours, theirs
          FROM pg_attribute AS c
         WHERE c.attrelid = format('%I.%I', 'views_' || of_generation, name)::regclass
           AND c.attnum > 0 AND NOT c.attisdropped AND c.attname <> ALL (delivery);
        EXECUTE format(
            'WITH different AS MATERIALIZED (
                 SELECT to_jsonb(a) - $2 AS new, to_jsonb(b) - $2 AS live
                   FROM %1$I.%3$I AS a FULL JOIN %2$I.%3$I AS b USING (%4$s)
                  WHERE ROW(%5$s) IS DISTINCT FROM ROW(%6$s))
             SELECT count(*), coalesce((SELECT jsonb_agg(jsonb_build_object(''table'', %3$L, ''new'', d.new,
                                                                            ''live'', d.live))
                                          FROM (SELECT new, live FROM different LIMIT $1) AS d), ''[]'')
               FROM different',
            'views_' || of_generation, 'views_' || from_generation, name, key, ours, theirs)
        INTO counted, few USING greatest(most - jsonb_array_length(samples), 0), delivery;
        differences := differences + counted;
        samples := samples || few;
    END LOOP;
END $$;
