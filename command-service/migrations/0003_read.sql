-- Places in the log by time, for people. Within a partition, and so within an account, time never goes back as
-- positions rise (`log_head.recorded_at` sees to it), so a place is found by halving: some twenty look-ups by primary
-- key, and no index on time for which every append would pay.

-- The last position of a partition that was recorded before the moment; 0 if there is none.
CREATE FUNCTION passbook.last_position_before(of_partition smallint, moment timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE STRICT AS $$
DECLARE
    before bigint := 0;
    middle bigint;
    -- The first position known not to be before the moment, or past the end.
    beyond bigint := 1 + coalesce((SELECT e.position FROM passbook.events AS e WHERE e.partition = of_partition
                                    ORDER BY e.position DESC LIMIT 1), 0);
BEGIN
    WHILE beyond - before > 1 LOOP
        middle := (before + beyond) / 2;
        IF (SELECT e.recorded_at < moment FROM passbook.events AS e
             WHERE e.partition = of_partition AND e.position = middle) THEN
            before := middle;
        ELSE
            beyond := middle;
        END IF;
    END LOOP;
    RETURN before;
END $$;

-- The last version of an account that was recorded before the moment; 0 if there is none.
CREATE FUNCTION passbook.last_version_before(of_partition smallint, of_account uuid, moment timestamptz)
RETURNS bigint LANGUAGE plpgsql STABLE STRICT AS $$
DECLARE
    before bigint := 0;
    middle bigint;
    -- The first version known not to be before the moment, or past the end.
    beyond bigint := 1 + coalesce((SELECT e.version FROM passbook.events AS e
                                    WHERE e.partition = of_partition AND e.account_id = of_account
                                    ORDER BY e.version DESC LIMIT 1), 0);
BEGIN
    WHILE beyond - before > 1 LOOP
        middle := (before + beyond) / 2;
        IF (SELECT e.recorded_at < moment FROM passbook.events AS e
             WHERE e.partition = of_partition AND e.account_id = of_account AND e.version = middle) THEN
            before := middle;
        ELSE
            beyond := middle;
        END IF;
    END LOOP;
    RETURN before;
END $$;

-- Sees to it that nothing is recorded any more in a partition at the moment or before, and gives the last position there is;
-- nothing, if the moment is still to come. Waits for an append that is under way.
CREATE FUNCTION passbook.settle(of_partition smallint, moment timestamptz) RETURNS bigint LANGUAGE plpgsql STRICT AS $$
DECLARE
    last bigint;
    latest timestamptz;
BEGIN
    IF moment >= clock_timestamp() THEN
        RETURN NULL;
    END IF;
    SELECT h.position, h.recorded_at INTO STRICT last, latest
      FROM passbook.log_head AS h WHERE h.partition = of_partition FOR UPDATE;
    IF latest <= moment THEN
        UPDATE passbook.log_head SET recorded_at = moment + interval '1 microsecond' WHERE partition = of_partition;
    END IF;
    RETURN last;
END $$;
