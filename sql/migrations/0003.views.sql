-- depends: 0002.functions

-- What the tables hold, as a person reads it.

CREATE FUNCTION readable(ms bigint) RETURNS timestamptz
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN ms = 9223372036854775807 THEN 'infinity'::timestamptz
                ELSE to_timestamp(ms / 1000.0) END
$$;

CREATE VIEW blocked_accounts AS
SELECT username, readable(blocked_since_ms) AS since, readable(blocked_until_ms) AS until,
       blocked_why AS why, in_a_row AS failures
  FROM lock_states
 WHERE blocked_until_ms > extract(epoch FROM now()) * 1000;

CREATE VIEW decisions AS
SELECT readable(appended_ms) AS at, partition, generation, log_offset, kind, username,
       CASE right_password WHEN true THEN 'right' WHEN false THEN 'wrong' END AS outcome,
       (ARRAY['accepted', 'rejected', 'blocked'])[decision + 1] AS verdict,
       policy_version
  FROM audit;
