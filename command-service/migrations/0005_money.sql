-- An opening that brings a key and no id gets an id of owner and key. It was of the key alone once: stores that have events
-- from then may have such accounts, whose openings are to be found again by their keys.
ALTER TABLE passbook.store ADD COLUMN opened_by_key_alone boolean NOT NULL DEFAULT false;
UPDATE passbook.store SET opened_by_key_alone = EXISTS (SELECT FROM passbook.events);
