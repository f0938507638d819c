-- A key in quotes is the string of RFC 9651: the same key as without them. Keys that were kept with their quotes are found as
-- what they are now.
UPDATE passbook.commands AS c
   SET idempotency_key = k.plain
  FROM (SELECT partition, account_id, idempotency_key,
               regexp_replace(substr(idempotency_key, 2, length(idempotency_key) - 2), '\\(["\\])', '\1', 'g') AS plain
          FROM passbook.commands
         WHERE idempotency_key ~ '^"([^"\\]|\\["\\])+"$') AS k
 WHERE (c.partition, c.account_id, c.idempotency_key) = (k.partition, k.account_id, k.idempotency_key)
   AND NOT EXISTS (SELECT FROM passbook.commands AS o
                    WHERE (o.partition, o.account_id, o.idempotency_key) = (k.partition, k.account_id, k.plain));
