-- Calls of operators, permitted or not. The service's role appends to them, and changes and deletes none.
CREATE TABLE passbook.audit (
    audit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    called_at timestamptz NOT NULL,
    -- Null without authentication.
    principal text CONSTRAINT audit_principal_is_short CHECK (length(principal) <= 64),
    -- Operation id of the OpenAPI document.
    operation text NOT NULL CONSTRAINT audit_operation_is_short CHECK (length(operation) <= 64),
    -- Path with its parameters, without the query.
    path text NOT NULL CONSTRAINT audit_path_is_short CHECK (length(path) <= 256),
    status smallint NOT NULL,
    request_id text NOT NULL CONSTRAINT audit_request_id_is_short CHECK (length(request_id) <= 128),
    -- Address of the client or of its proxy.
    peer text CONSTRAINT audit_peer_is_short CHECK (length(peer) <= 45)
);

-- Appends calls, one element each.
CREATE FUNCTION passbook.record_audit(
    times timestamptz[], principals text[], operations text[], paths text[], statuses smallint[], request_ids text[],
    peers text[]
) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, passbook, pg_temp AS $$
    INSERT INTO passbook.audit (called_at, principal, operation, path, status, request_id, peer)
    SELECT c.called_at, c.principal, c.operation, c.path, c.status, c.request_id, c.peer
      FROM unnest(times, principals, operations, paths, statuses, request_ids, peers) WITH ORDINALITY
        AS c (called_at, principal, operation, path, status, request_id, peer, number)
     ORDER BY c.number
$$;
REVOKE ALL ON FUNCTION passbook.record_audit(timestamptz[], text[], text[], text[], smallint[], text[], text[]) FROM PUBLIC;
