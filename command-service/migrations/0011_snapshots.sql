-- Snapshots are written behind the append. Meanwhile a backup may have replaced the log, which then lacks the snapshot's
-- event: a snapshot from a lost future would continue its account after events that the log does not have.

-- Keeps snapshots, one element each, of events that the log has.
CREATE FUNCTION passbook.save_snapshots(
    of_partitions smallint[], account_ids uuid[], versions bigint[], positions bigint[], event_ids uuid[],
    of_state_version smallint, states text[], macs bytea[]
) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, passbook, pg_temp AS $$
    INSERT INTO passbook.snapshots (partition, account_id, version, position, state_version, state, mac)
    SELECT DISTINCT ON (s.partition, s.account_id, s.version)
           s.partition, s.account_id, s.version, s.position, of_state_version, s.state::json, s.mac
      FROM unnest(of_partitions, account_ids, versions, positions, event_ids, states, macs)
        AS s (partition, account_id, version, position, event_id, state, mac)
      JOIN passbook.events AS e USING (partition, position, account_id, version, event_id)
    ON CONFLICT (partition, account_id, version)
    DO UPDATE SET position = excluded.position, state_version = excluded.state_version, state = excluded.state,
                  mac = excluded.mac
$$;

REVOKE ALL ON FUNCTION passbook.save_snapshots(smallint[], uuid[], bigint[], bigint[], uuid[], smallint, text[], bytea[])
    FROM PUBLIC;

-- Of builds that name no event: the log must have one with the same version at the same position.
CREATE OR REPLACE FUNCTION passbook.save_snapshots(
    of_partitions smallint[], account_ids uuid[], versions bigint[], positions bigint[], of_state_version smallint,
    states text[], macs bytea[]
) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, passbook, pg_temp AS $$
    INSERT INTO passbook.snapshots (partition, account_id, version, position, state_version, state, mac)
    SELECT DISTINCT ON (s.partition, s.account_id, s.version)
           s.partition, s.account_id, s.version, s.position, of_state_version, s.state::json, s.mac
      FROM unnest(of_partitions, account_ids, versions, positions, states, macs)
        AS s (partition, account_id, version, position, state, mac)
      JOIN passbook.events AS e USING (partition, position, account_id, version)
    ON CONFLICT (partition, account_id, version)
    DO UPDATE SET position = excluded.position, state_version = excluded.state_version, state = excluded.state,
                  mac = excluded.mac
$$;
