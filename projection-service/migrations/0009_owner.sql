-- The owner of an account can change.
--
-- `accounts.owner` is the current owner, so that lists by owner use its index. `accounts.opening_owner` is the owner
-- at the opening; absent while the owner has never changed, as in all rows from before this migration.
-- `history.owner` is the new owner in the row of an event that changes it; absent in all other rows.

-- Adds the columns to the tables of a generation.
CREATE FUNCTION projection.add_owners(of_generation integer) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('ALTER TABLE %I.accounts ADD COLUMN opening_owner text', 'views_' || of_generation);
    EXECUTE format('ALTER TABLE %I.history ADD COLUMN owner text', 'views_' || of_generation);
END $$;

-- Creates the indexes of a generation that only cost while it is loaded in bulk. Few rows are in the last two, so that a
-- deposit touches neither.
CREATE OR REPLACE FUNCTION projection.index_generation(generation integer) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('search_path', 'views_' || generation || ', pg_temp', true);
    ALTER TABLE history ADD PRIMARY KEY (account_id, version);
    CREATE INDEX history_by_transfer ON history (transfer_id) WHERE transfer_id IS NOT NULL;
    CREATE INDEX history_by_hold ON history (account_id, hold_id) WHERE hold_id IS NOT NULL;
    CREATE INDEX history_by_reversed ON history (account_id, reverses) WHERE reverses IS NOT NULL;
    CREATE INDEX history_by_effect ON history (account_id, effective_at, version) WHERE effective_at IS NOT NULL;
    -- Metadata never changes, so that updates stay in their page.
    CREATE INDEX accounts_by_label ON accounts USING gin (metadata jsonb_path_ops) WHERE metadata IS NOT NULL;
    CREATE INDEX history_by_owner ON history (account_id, version) WHERE owner IS NOT NULL;
    CREATE INDEX accounts_by_opening_owner ON accounts (opening_owner) WHERE opening_owner IS NOT NULL;
END $$;

DO $$
DECLARE
    of_generation integer;
    name text;
BEGIN
    FOR of_generation IN SELECT g.generation FROM projection.generations AS g LOOP
        PERFORM projection.add_owners(of_generation);
    END LOOP;
    FOR of_generation IN SELECT g.generation FROM projection.generations AS g WHERE g.indexed LOOP
        EXECUTE format('CREATE INDEX history_by_owner ON %I.history (account_id, version)
                         WHERE owner IS NOT NULL', 'views_' || of_generation);
        EXECUTE format('CREATE INDEX accounts_by_opening_owner ON %I.accounts (opening_owner)
                         WHERE opening_owner IS NOT NULL', 'views_' || of_generation);
    END LOOP;
    -- A view has the columns that its table had when the view was created.
    SELECT g.generation INTO of_generation FROM projection.generations AS g WHERE g.live;
    FOREACH name IN ARRAY ARRAY['accounts', 'history'] LOOP
        EXECUTE format('CREATE OR REPLACE VIEW views.%1$I AS SELECT * FROM %2$I.%1$I', name, 'views_' || of_generation);
    END LOOP;
END $$;

-- Creates an empty generation, to be loaded in bulk, and returns its number.
CREATE OR REPLACE FUNCTION projection.add_generation() RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made integer;
BEGIN
    INSERT INTO projection.generations (generation, indexed)
    SELECT max(g.generation) + 1, false FROM projection.generations AS g RETURNING generation INTO made;
    PERFORM projection.create_generation(made);
    PERFORM projection.add_owners(made);
    PERFORM projection.grant_generation(made);
    RETURN made;
END $$;

-- Returns the owner of an account at a version. `current_owner` and `opening_owner` are those of its row.
CREATE FUNCTION projection.owner_at(account uuid, at_version bigint, current_owner text, opening_owner text)
RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF opening_owner IS NULL THEN
        RETURN current_owner;
    END IF;
    RETURN coalesce((SELECT h.owner FROM history AS h
                      WHERE h.account_id = account AND h.version <= at_version AND h.owner IS NOT NULL
                      ORDER BY h.version DESC LIMIT 1), opening_owner);
END $$;

-- The application of a batch takes rows instead of columns. `projection.apply`, with an array for each column, stays for
-- builds that know no other.

-- The advance of a checkpoint: the epoch and the position that it must have, and what it becomes.
CREATE TYPE projection.checkpoint_move AS (
    partition smallint,
    epoch bigint,
    expected bigint,
    position bigint,
    kafka_offset bigint,
    event_id uuid,
    recorded_at timestamptz
);

-- The part of a new account that never changes.
CREATE TYPE projection.opened_account AS (
    account_id uuid,
    opened_at timestamptz,
    partition smallint,
    currency text,
    owner text,
    metadata text
);

-- An account as a batch leaves it. `owner` is the new one; absent if the batch does not change it.
CREATE TYPE projection.changed_account AS (
    account_id uuid,
    last_activity timestamptz,
    version bigint,
    position bigint,
    balance bigint,
    held bigint,
    overdraft_limit bigint,
    transaction_count bigint,
    status text,
    owner text
);

-- A row of `history`.
CREATE TYPE projection.entry AS (
    account_id uuid,
    version bigint,
    position bigint,
    recorded_at timestamptz,
    amount bigint,
    balance bigint,
    held bigint,
    overdraft_limit bigint,
    transaction_count bigint,
    effective_at timestamptz,
    status text,
    type text,
    reference text,
    metadata text,
    reverses bigint,
    hold_amount bigint,
    expires_at timestamptz,
    hold_id uuid,
    transfer_id uuid,
    counterparty uuid,
    counterparty_version bigint,
    kafka_offset bigint,
    published_at timestamptz,
    owner text
);

-- A row of `quarantine`.
CREATE TYPE projection.quarantined_record AS (
    partition smallint,
    position bigint,
    kafka_offset bigint,
    published_at timestamptz,
    account_id uuid,
    version bigint,
    waits boolean,
    reason text,
    document bytea
);

-- Applies a batch of events to the generation in the `search_path`, as a whole or not at all: the checkpoints move from the
-- epochs and positions expected, or nothing happens.
CREATE FUNCTION projection.apply_batch(
    moves projection.checkpoint_move[], opened projection.opened_account[], changed projection.changed_account[],
    entries projection.entry[], quarantined projection.quarantined_record[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    moved integer;
BEGIN
    UPDATE checkpoints AS c
       SET position = m.position, kafka_offset = m.kafka_offset, event_id = m.event_id,
           recorded_at = coalesce(m.recorded_at, c.recorded_at), applied_at = clock_timestamp()
      FROM unnest(moves) AS m
     WHERE c.partition = m.partition AND c.epoch = m.epoch AND c.position = m.expected;
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved <> cardinality(moves) THEN
        RAISE EXCEPTION 'a partition is at another position'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'checkpoint_is_where_expected';
    END IF;

    IF cardinality(opened) > 0 THEN
        INSERT INTO accounts (account_id, opened_at, last_activity, version, position, balance, held, overdraft_limit,
                              transaction_count, partition, status, currency, owner, metadata)
        SELECT o.account_id, o.opened_at, o.opened_at, 0, 0, 0, 0, 0, 0, o.partition, 'open', o.currency, o.owner,
               o.metadata::jsonb
          FROM unnest(opened) AS o;
    END IF;

    -- An update that keeps the owner touches no index and stays in its page (HOT).
    UPDATE accounts AS a
       SET last_activity = n.last_activity, version = n.version, position = n.position, balance = n.balance,
           held = n.held, overdraft_limit = n.overdraft_limit, transaction_count = n.transaction_count,
           status = n.status, owner = coalesce(n.owner, a.owner),
           opening_owner = CASE WHEN n.owner IS NULL THEN a.opening_owner ELSE coalesce(a.opening_owner, a.owner) END
      FROM unnest(changed) AS n
     WHERE a.account_id = n.account_id;

    INSERT INTO history (account_id, version, position, recorded_at, amount, balance, held, overdraft_limit,
                         transaction_count, effective_at, status, type, reference, metadata, reverses, hold_amount,
                         expires_at, hold_id, transfer_id, counterparty, counterparty_version, kafka_offset,
                         published_at, owner)
    SELECT e.account_id, e.version, e.position, e.recorded_at, e.amount, e.balance, e.held, e.overdraft_limit,
           e.transaction_count, e.effective_at, e.status, e.type, e.reference, e.metadata::jsonb, e.reverses,
           e.hold_amount, e.expires_at, e.hold_id, e.transfer_id, e.counterparty, e.counterparty_version,
           e.kafka_offset, e.published_at, e.owner
      FROM unnest(entries) AS e;

    IF cardinality(quarantined) > 0 THEN
        INSERT INTO quarantine (partition, position, kafka_offset, published_at, account_id, version, waits, reason,
                                document)
        SELECT q.partition, q.position, q.kafka_offset, q.published_at, q.account_id, q.version, q.waits, q.reason,
               q.document
          FROM unnest(quarantined) AS q
         -- A record that is no event and was discarded may be read again.
         WHERE q.account_id IS NOT NULL OR NOT EXISTS (
               SELECT FROM projection.discarded AS d
                WHERE d.account_id IS NULL AND d.partition = q.partition AND d.kafka_offset = q.kafka_offset
                  AND d.document = q.document)
        ON CONFLICT DO NOTHING;
    END IF;
END $$;

-- Takes the views of a partition back as before, and owners with them.
CREATE OR REPLACE FUNCTION projection.rewind(of_partition smallint, to_position bigint, read_from bigint) RETURNS void
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
           status = h.status, owner = projection.owner_at(a.account_id, h.version, a.owner, a.opening_owner),
           opening_owner = CASE WHEN EXISTS (SELECT FROM history AS o
                                              WHERE o.account_id = a.account_id AND o.owner IS NOT NULL)
                                THEN a.opening_owner END
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
