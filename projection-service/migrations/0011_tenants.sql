-- An account may have a tenant, which never changes. Accounts from before this migration have none.

-- Adds the column to the tables of a generation.
CREATE FUNCTION projection.add_tenants(of_generation integer) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('ALTER TABLE %I.accounts ADD COLUMN tenant text', 'views_' || of_generation);
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
    CREATE INDEX accounts_by_tenant ON accounts (tenant, opened_at, account_id) WHERE tenant IS NOT NULL;
END $$;

DO $$
DECLARE
    of_generation integer;
BEGIN
    FOR of_generation IN SELECT g.generation FROM projection.generations AS g LOOP
        PERFORM projection.add_tenants(of_generation);
    END LOOP;
    FOR of_generation IN SELECT g.generation FROM projection.generations AS g WHERE g.indexed LOOP
        EXECUTE format('CREATE INDEX accounts_by_tenant ON %I.accounts (tenant, opened_at, account_id)
                         WHERE tenant IS NOT NULL', 'views_' || of_generation);
    END LOOP;
    -- A view has the columns that its table had when the view was created.
    SELECT g.generation INTO of_generation FROM projection.generations AS g WHERE g.live;
    EXECUTE format('CREATE OR REPLACE VIEW views.accounts AS SELECT * FROM %I.accounts', 'views_' || of_generation);
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
    PERFORM projection.add_tenants(made);
    PERFORM projection.grant_generation(made);
    RETURN made;
END $$;

-- The part of a new account that never changes.
CREATE TYPE projection.new_account AS (
    account_id uuid,
    opened_at timestamptz,
    partition smallint,
    currency text,
    owner text,
    metadata text,
    tenant text
);

-- Applies a batch of events to the generation in the `search_path`, as a whole or not at all: the checkpoints move from the
-- epochs and positions expected, or nothing happens.
CREATE FUNCTION projection.apply_changes(
    moves projection.checkpoint_move[], opened projection.new_account[], changed projection.changed_account[],
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
                              transaction_count, partition, status, currency, owner, metadata, tenant)
        SELECT o.account_id, o.opened_at, o.opened_at, 0, 0, 0, 0, 0, 0, o.partition, 'open', o.currency, o.owner,
               o.metadata::jsonb, o.tenant
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

-- The same for builds that know no tenants.
CREATE OR REPLACE FUNCTION projection.apply_batch(
    moves projection.checkpoint_move[], opened projection.opened_account[], changed projection.changed_account[],
    entries projection.entry[], quarantined projection.quarantined_record[]
) RETURNS void LANGUAGE sql AS $$
    SELECT projection.apply_changes(
        moves,
        ARRAY(SELECT ROW(o.account_id, o.opened_at, o.partition, o.currency, o.owner, o.metadata, NULL)::projection.new_account
                FROM unnest(opened) AS o),
        changed, entries, quarantined)
$$;
