-- Verifications, as the instance that runs one tells of it each second: any instance can be asked how one stands.
CREATE TABLE projection.verifications (
    -- Ordered by time.
    verify_id uuid PRIMARY KEY,
    -- True until its end; one that is not told of for half a minute has lost its instance.
    running boolean NOT NULL,
    -- As it is shown over HTTP.
    body jsonb NOT NULL,
    told_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
