-- The service's role owns nothing. It writes rows, and has the functions below make, switch and drop generations.

-- Which builds can use this schema.
CREATE TABLE projection.compatibility (
    only_one boolean PRIMARY KEY DEFAULT true CONSTRAINT compatibility_is_one CHECK (only_one),
    -- The newest migration that a build must know to run on this schema, whichever are applied. A migration that older
    -- builds can't live with raises it to its own number.
    oldest_build bigint NOT NULL
);
INSERT INTO projection.compatibility (oldest_build) VALUES (7);

-- Grants the right to write a generation's rows, and to read the views, to each role that may use this schema.
CREATE FUNCTION projection.grant_generation(generation integer) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    role name;
BEGIN
    FOR role IN SELECT DISTINCT r.rolname
                  FROM pg_namespace AS n CROSS JOIN aclexplode(n.nspacl) AS a JOIN pg_roles AS r ON r.oid = a.grantee
                 WHERE n.nspname = 'projection' AND a.privilege_type = 'USAGE' AND a.grantee <> n.nspowner LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA views, %I TO %I', 'views_' || generation, role);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO %I',
                       'views_' || generation, role);
        EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA views TO %I', role);
    END LOOP;
END $$;

-- Makes an empty generation, to be loaded in bulk, and returns its number.
CREATE FUNCTION projection.add_generation() RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made integer;
BEGIN
    INSERT INTO projection.generations (generation, indexed)
    SELECT max(g.generation) + 1, false FROM projection.generations AS g RETURNING generation INTO made;
    PERFORM projection.create_generation(made);
    PERFORM projection.grant_generation(made);
    RETURN made;
END $$;

-- Makes the indexes of a generation that was loaded in bulk, once.
CREATE FUNCTION projection.finish_generation(of_generation integer) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE projection.generations SET indexed = true WHERE generation = of_generation AND NOT indexed;
    IF FOUND THEN
        PERFORM projection.index_generation(of_generation);
        EXECUTE format('ANALYZE %1$I.history, %1$I.accounts', 'views_' || of_generation);
    END IF;
END $$;

-- Has queries answered from a generation.
CREATE FUNCTION projection.switch_to(next integer) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM projection.make_live(next);
    PERFORM projection.grant_generation(next);
END $$;

-- Drops a generation, unless it is live.
CREATE FUNCTION projection.drop_generation(of_generation integer) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM projection.generations WHERE generation = of_generation AND NOT live;
    IF FOUND THEN
        EXECUTE format('DROP SCHEMA %I CASCADE', 'views_' || of_generation);
    END IF;
END $$;

-- While they work on a generation, its tables are found before the caller's temporary ones, too.
DO $$
DECLARE
    signature regprocedure;
    definition text;
BEGIN
    FOREACH signature IN ARRAY ARRAY['projection.create_generation(integer)', 'projection.index_generation(integer)'] LOOP
        definition := replace(pg_get_functiondef(signature), '''views_'' || generation, true',
                              '''views_'' || generation || '', pg_temp'', true');
        IF definition = pg_get_functiondef(signature) THEN
            RAISE EXCEPTION '% sets its search_path in another way', signature;
        END IF;
        EXECUTE definition;
    END LOOP;
END $$;
ALTER FUNCTION projection.create_generation(integer) SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION projection.index_generation(integer) SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION projection.make_live(integer) SET search_path = pg_catalog, pg_temp;
