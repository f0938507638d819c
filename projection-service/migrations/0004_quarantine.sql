-- Events and records that somebody threw away because they could not be applied. Kept for good, and of all generations:
-- who makes the views anew passes over the same events again, unless they can be applied by then, so that no account
-- goes back to where it stood before.
--
-- An event that is passed over leaves no row in `history`, which so stays what a fold of the events that can be applied
-- gives; the account's version and position move past it, and what follows on it is applied.
CREATE TABLE projection.discarded (
    discarded_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- As in the quarantine it was in.
    partition smallint NOT NULL,
    position bigint,
    kafka_offset bigint,
    account_id uuid,
    version bigint,
    -- When the event was recorded in the log; absent if it was none.
    recorded_at timestamptz,
    -- Whether its version was next in its account: then that has a hole there.
    passed_over boolean NOT NULL,
    -- Why it was set aside, and since when.
    reason text NOT NULL,
    since timestamptz NOT NULL,
    document bytea NOT NULL,
    -- Why it was thrown away, in the words of who did it.
    discard_reason text NOT NULL CONSTRAINT discarded_for_a_reason CHECK (discard_reason <> ''),
    discarded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX discarded_by_account ON projection.discarded (account_id, position) WHERE account_id IS NOT NULL;
CREATE INDEX discarded_records ON projection.discarded (partition, kafka_offset) WHERE account_id IS NULL;

-- How many accounts of the live generation are further than in another, which has events of theirs set aside.
CREATE FUNCTION projection.behind(of_generation integer, live_generation integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    behind bigint;
BEGIN
    EXECUTE format(
        'SELECT count(DISTINCT q.account_id)
           FROM %1$I.quarantine AS q
           JOIN %2$I.accounts AS a ON a.account_id = q.account_id
           LEFT JOIN %1$I.accounts AS b ON b.account_id = q.account_id
          WHERE a.version > coalesce(b.version, 0)', 'views_' || of_generation, 'views_' || live_generation)
    INTO behind;
    RETURN behind;
END $$;
