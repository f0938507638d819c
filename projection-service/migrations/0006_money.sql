-- Statements and balances by effective time look up the entries that count from another time than that of their recording.
CREATE OR REPLACE FUNCTION projection.index_generation(generation integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('search_path', 'views_' || generation, true);
    ALTER TABLE history ADD PRIMARY KEY (account_id, version);
    CREATE INDEX history_by_transfer ON history (transfer_id) WHERE transfer_id IS NOT NULL;
    CREATE INDEX history_by_hold ON history (account_id, hold_id) WHERE hold_id IS NOT NULL;
    CREATE INDEX history_by_reversed ON history (account_id, reverses) WHERE reverses IS NOT NULL;
    CREATE INDEX history_by_effect ON history (account_id, effective_at, version) WHERE effective_at IS NOT NULL;
    -- Labels never change, so that updates stay in their page.
    CREATE INDEX accounts_by_label ON accounts USING gin (metadata jsonb_path_ops) WHERE metadata IS NOT NULL;
END $$;

DO $$
DECLARE
    of_generation integer;
BEGIN
    FOR of_generation IN SELECT g.generation FROM projection.generations AS g WHERE g.indexed LOOP
        EXECUTE format('CREATE INDEX history_by_effect ON %I.history (account_id, effective_at, version)
                         WHERE effective_at IS NOT NULL', 'views_' || of_generation);
    END LOOP;
END $$;
