-- Which builds can use this schema.
CREATE TABLE passbook.compatibility (
    only_one boolean PRIMARY KEY DEFAULT true CONSTRAINT compatibility_is_one CHECK (only_one),
    -- The newest migration that a build must know to run on this schema, whichever are applied. A migration that older
    -- builds can't live with raises it to its own number.
    oldest_build bigint NOT NULL
);
INSERT INTO passbook.compatibility (oldest_build) VALUES (6);
