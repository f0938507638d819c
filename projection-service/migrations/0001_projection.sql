-- The account views: a function of the log, to be thrown away and built again at any time. Nothing here is the truth.

CREATE SCHEMA IF NOT EXISTS projection;

-- Whose log the views are made from; one row, written with the first record. Records of another are not applied.
CREATE TABLE projection.source (
    only_one boolean PRIMARY KEY DEFAULT true CONSTRAINT source_is_one CHECK (only_one),
    store_id uuid NOT NULL,
    -- Of the topic, as of the log: an account's partition follows from it.
    partitions smallint NOT NULL CONSTRAINT source_has_partitions CHECK (partitions >= 1)
);

-- Each complete set of views there is. Generation n has its tables in the schema `views_n`.
CREATE TABLE projection.generations (
    generation integer PRIMARY KEY,
    -- Queries are answered from this one, and new events go into it.
    live boolean NOT NULL DEFAULT false,
    -- False while it is loaded in bulk: `index_generation` comes at the end.
    indexed boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX generations_one_is_live ON projection.generations (live) WHERE live;

-- What queries read: views of the live generation's tables. Who writes has a generation's own schema first in the
-- `search_path`, so that no statement names a schema.
CREATE SCHEMA views;

-- Numbers what is set aside.
CREATE SEQUENCE projection.quarantine_ids;

-- Makes the tables of a generation, to be filled: the indexes that only cost then are made by `index_generation`.
CREATE FUNCTION projection.create_generation(generation integer) RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
    EXECUTE format('CREATE SCHEMA %I', 'views_' || generation);
    PERFORM set_config('search_path', 'views_' || generation, true);

    -- How far each partition of the log has been applied. Changed in the transaction that changes the views, and only
    -- from the position its writer knows: two writers can't both go on. Mostly empty pages keep the updates in place.
    CREATE TABLE checkpoints (
        partition smallint PRIMARY KEY,
        -- Of the last event applied; 0 before the first. This decides what is next, nothing else does.
        position bigint NOT NULL DEFAULT 0,
        -- Counts how often the views were changed behind their writer's back: a rewind, a retry, a switch of the live
        -- generation. A writer that knows another number begins anew.
        epoch bigint NOT NULL DEFAULT 0,
        -- Where in the topic to read on: a hint that saves reading from the beginning. Absent before the first record.
        kafka_offset bigint,
        -- The last event applied, and when it was recorded. Another event at that position: the log is another.
        event_id uuid,
        recorded_at timestamptz,
        applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
    ) WITH (fillfactor = 10);

    -- Each account as it stands. Only columns that never change are indexed, so that an update touches no index and
    -- stays in its page (HOT); lists by balance or by activity sort what the filters leave.
    CREATE TABLE accounts (
        account_id uuid PRIMARY KEY,
        opened_at timestamptz NOT NULL,
        -- The time of the newest event.
        last_activity timestamptz NOT NULL,
        -- Of the newest event: its place in the account, and in the partition.
        version bigint NOT NULL,
        position bigint NOT NULL,
        -- Minor units of the currency.
        balance bigint NOT NULL,
        -- How much of the balance is set aside by holds.
        held bigint NOT NULL,
        -- How far below 0 `balance - held` may go.
        overdraft_limit bigint NOT NULL,
        -- Opening (1) and every movement of money.
        transaction_count bigint NOT NULL,
        partition smallint NOT NULL,
        -- open, frozen or closed.
        status text NOT NULL,
        -- ISO 4217.
        currency text NOT NULL,
        owner text NOT NULL,
        -- The opener's labels: strings by name.
        metadata jsonb
    ) WITH (fillfactor = 70);
    CREATE INDEX accounts_by_opening ON accounts (opened_at, account_id);
    CREATE INDEX accounts_by_owner ON accounts (owner, opened_at, account_id);

    -- Each event of each account with the state it left: statements, the past, and going back are look-ups here; so are
    -- holds, transfers and what was reversed, which are right after a rewind for that reason.
    -- Versions are dense from 1, except where an event was discarded, and `recorded_at` never falls from one to the next,
    -- so one key serves both.
    CREATE TABLE history (
        account_id uuid NOT NULL,
        version bigint NOT NULL,
        position bigint NOT NULL,
        recorded_at timestamptz NOT NULL,
        -- What the event moved, minor units, negative for money out; absent where it moves no money.
        amount bigint,
        balance bigint NOT NULL,
        held bigint NOT NULL,
        overdraft_limit bigint NOT NULL,
        transaction_count bigint NOT NULL,
        -- When it counts from, if not from when it was recorded.
        effective_at timestamptz,
        -- The version of the entry it undoes; each entry is undone once.
        reverses bigint,
        -- Of each event of a hold: which, all that it sets aside, and when it ends by itself.
        hold_amount bigint,
        expires_at timestamptz,
        hold_id uuid,
        -- Of a leg of a transfer, and of what undoes one: which, and where the same happened to the other account.
        transfer_id uuid,
        counterparty uuid,
        counterparty_version bigint,
        -- How the event came here. This differs from one generation to the next and is not compared: where in the topic
        -- it was read and since when it was there, both absent if it came from the log, and when it was applied.
        kafka_offset bigint,
        published_at timestamptz,
        applied_at timestamptz NOT NULL DEFAULT statement_timestamp(),
        status text NOT NULL,
        type text NOT NULL,
        -- What for, or why, in the sender's words.
        reference text,
        -- The sender's labels: strings by name.
        metadata jsonb
    );

    -- Records and events that could not be applied, and those of the same accounts that wait behind them in order.
    CREATE TABLE quarantine (
        -- One sequence for all generations: a number that somebody has written down never means another event.
        id bigint PRIMARY KEY DEFAULT nextval('projection.quarantine_ids'),
        -- Where it was found: in the log (if that much could be read) and in the topic (if it was read there).
        partition smallint NOT NULL,
        position bigint,
        kafka_offset bigint,
        published_at timestamptz,
        -- Absent if the record could not even be read as an event.
        account_id uuid,
        version bigint,
        -- True: nothing is wrong with it, it waits behind another of its account.
        waits boolean NOT NULL,
        -- Why it was not applied, for people.
        reason text NOT NULL,
        -- The record's value; a CloudEvent as the topic carries it, if it was one.
        document bytea NOT NULL,
        since timestamptz NOT NULL DEFAULT clock_timestamp()
    );
    -- The same record may be read again after a topic was made anew.
    CREATE UNIQUE INDEX quarantine_record_is_once ON quarantine (partition, kafka_offset) WHERE account_id IS NULL;
    -- What waits, in the order of the log.
    CREATE INDEX quarantine_by_account ON quarantine (account_id, position) WHERE account_id IS NOT NULL;
    -- What the others wait behind, one an account: whether an account is in quarantine costs the same however many wait.
    CREATE INDEX quarantine_heads ON quarantine (account_id) WHERE account_id IS NOT NULL AND NOT waits;
    -- How many could not be applied lately. Empty as a rule.
    CREATE INDEX quarantine_failures ON quarantine (partition, position) WHERE NOT waits;
END $body$;

-- Makes the indexes of a generation that only cost while it is loaded in bulk. Those for what few rows have leave out the
-- others, so that a deposit touches none of them.
CREATE FUNCTION projection.index_generation(generation integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('search_path', 'views_' || generation, true);
    ALTER TABLE history ADD PRIMARY KEY (account_id, version);
    CREATE INDEX history_by_transfer ON history (transfer_id) WHERE transfer_id IS NOT NULL;
    CREATE INDEX history_by_hold ON history (account_id, hold_id) WHERE hold_id IS NOT NULL;
    CREATE INDEX history_by_reversed ON history (account_id, reverses) WHERE reverses IS NOT NULL;
    -- Labels never change, so that updates stay in their page.
    CREATE INDEX accounts_by_label ON accounts USING gin (metadata jsonb_path_ops) WHERE metadata IS NOT NULL;
END $$;

-- Makes a generation the live one: for whoever asks afterwards all at once. The writers of the one before it, which is
-- kept as it stands, begin anew.
CREATE FUNCTION projection.make_live(next integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    before integer := (SELECT generation FROM projection.generations WHERE live);
    name text;
BEGIN
    IF before IS NOT NULL THEN
        EXECUTE format('UPDATE %I.checkpoints SET epoch = epoch + 1', 'views_' || before);
    END IF;
    UPDATE projection.generations SET live = false WHERE live;
    UPDATE projection.generations SET live = true WHERE generation = next;
    FOREACH name IN ARRAY ARRAY['checkpoints', 'accounts', 'history', 'quarantine'] LOOP
        EXECUTE format('CREATE OR REPLACE VIEW views.%1$I AS SELECT * FROM %2$I.%1$I', name, 'views_' || next);
    END LOOP;
END $$;

SELECT projection.create_generation(1);
SELECT projection.index_generation(1);
INSERT INTO projection.generations (generation) VALUES (1);
SELECT projection.make_live(1);
