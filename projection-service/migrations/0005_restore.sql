-- What the log itself has confirmed of the views, so that a log that was restored from a backup is told from a record of
-- the topic that nobody's log has.

-- At `position` of the partition the log had this event when it was asked. If the log ever has another one there, or
-- ends before it, the log was changed: not a record of the topic is wrong, and only an operator's acceptance, which
-- raises the store's epoch, lets the views give up what they have.
CREATE TABLE projection.confirmed (
    partition smallint PRIMARY KEY,
    -- 0: nothing was confirmed yet.
    position bigint NOT NULL,
    event_id uuid,
    -- The epoch of the store that the views of the partition follow.
    store_epoch integer NOT NULL DEFAULT 0,
    confirmed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT confirmed_event_is_known CHECK (position = 0 OR event_id IS NOT NULL)
);
-- What earlier versions of this program have applied, they had compared with the log at each start.
INSERT INTO projection.confirmed (partition, position, event_id)
SELECT partition, position, event_id FROM views.checkpoints WHERE position > 0 AND event_id IS NOT NULL;

-- The store's accepted restores, as it told them: by epoch, the last position of the partition that it and all earlier
-- ones have in common. Records of an earlier epoch beyond that position were given up.
CREATE TABLE projection.restores (
    epoch integer NOT NULL,
    partition smallint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (epoch, partition)
);

-- Accounts of which one generation has other rows than another: at most so many.
CREATE FUNCTION projection.differing_accounts(of_generation integer, from_generation integer, most integer)
RETURNS SETOF uuid LANGUAGE plpgsql AS $$
DECLARE
    delivery CONSTANT text[] := ARRAY['kafka_offset', 'published_at', 'applied_at'];
    name text;
    key text;
    ours text;
    theirs text;
    selects text[] := '{}';
BEGIN
    FOR name, key IN SELECT * FROM (VALUES ('accounts', 'account_id'), ('history', 'account_id, version')) AS v LOOP
        SELECT string_agg(format('a.%I', c.attname), ', '), string_agg(format('b.%I', c.attname), ', ')
          INTO ours, theirs
          FROM pg_attribute AS c
         WHERE c.attrelid = format('%I.%I', 'views_' || of_generation, name)::regclass
           AND c.attnum > 0 AND NOT c.attisdropped AND c.attname <> ALL (delivery);
        selects := selects || format(
            'SELECT account_id FROM %1$I.%3$I AS a FULL JOIN %2$I.%3$I AS b USING (%4$s)
              WHERE ROW(%5$s) IS DISTINCT FROM ROW(%6$s)',
            'views_' || of_generation, 'views_' || from_generation, name, key, ours, theirs);
    END LOOP;
    RETURN QUERY EXECUTE format('SELECT DISTINCT account_id FROM (%s) AS d LIMIT $1',
                                array_to_string(selects, ' UNION ALL ')) USING most;
END $$;
