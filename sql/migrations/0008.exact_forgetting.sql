-- depends: 0007.who_reads_the_audit

-- How long after its last wrong password an account's state counts: data of the state, given by
-- the policy that counted that password. So neither a later policy nor the moment of a deletion
-- changes a decision. 0: for ever.
ALTER TABLE lock_states ADD COLUMN forget_ms bigint NOT NULL DEFAULT 0;
UPDATE lock_states s SET forget_ms = coalesce((p.policy->>'forget_ms')::bigint, 0)
  FROM partition_progress p WHERE p.partition = s.partition;

-- The latest append time of any decided record. Ids are known again for some time before it.
ALTER TABLE partition_progress ADD COLUMN latest_ms bigint NOT NULL DEFAULT 0;
UPDATE partition_progress SET latest_ms = coalesce(last_ms, 0);

-- The audit is written in the order of append times, so this costs next to nothing.
CREATE INDEX audit_appended ON audit USING brin (appended_ms) WITH (pages_per_range = 32);

DROP FUNCTION apply_batch;

-- As before, with the two columns above.
CREATE FUNCTION apply_batch(
    p int, my_epoch bigint, my_generation int, from_offset bigint, to_offset bigint,
    fingerprint bytea, fingerprint_ms bigint, new_policy jsonb,

    state_username text[], state_failures_ms text[], state_in_a_row int[], state_blocks int[],
    state_since_ms bigint[], state_until_ms bigint[], state_why text[], state_last_ms bigint[],
    state_forget_ms bigint[], state_offset bigint[],

    audit_ms bigint[], audit_offset bigint[], audit_id bytea[], audit_kind text[],
    audit_user text[], audit_right boolean[], audit_decision smallint[], audit_until_ms bigint[],
    audit_change smallint[], audit_policy int[], audit_reply int[],

    bad_offset bigint[], bad_ms bigint[], bad_key bytea[], bad_value bytea[], bad_reason text[]
) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE partition_progress
       SET next_offset = to_offset, batch_offset = from_offset, last_fingerprint = fingerprint,
           last_ms = fingerprint_ms, policy = coalesce(new_policy, policy),
           latest_ms = greatest(latest_ms, (SELECT max(ms) FROM unnest(audit_ms) AS ms))
     WHERE partition = p AND epoch = my_epoch AND generation = my_generation
       AND next_offset = from_offset;
    IF NOT FOUND THEN
        RETURN false;
    END IF;

    IF cardinality(state_username) > 0 THEN
        DELETE FROM lock_states
         USING unnest(state_username, state_failures_ms) AS s (username, failures_ms)
         WHERE lock_states.username = s.username AND s.failures_ms IS NULL;

        INSERT INTO lock_states (username, failures_ms, in_a_row, blocks, blocked_since_ms,
                                 blocked_until_ms, blocked_why, last_ms, forget_ms, partition,
                                 generation, log_offset)
        SELECT username, failures_ms::bigint[], in_a_row, blocks, since_ms, until_ms, why, last_ms,
               forget_ms, p, my_generation, log_offset
          FROM unnest(state_username, state_failures_ms, state_in_a_row, state_blocks,
                      state_since_ms, state_until_ms, state_why, state_last_ms, state_forget_ms,
                      state_offset)
            AS s (username, failures_ms, in_a_row, blocks, since_ms, until_ms, why, last_ms,
                  forget_ms, log_offset)
         WHERE failures_ms IS NOT NULL
        ON CONFLICT (username) DO UPDATE
           SET failures_ms = excluded.failures_ms, in_a_row = excluded.in_a_row,
               blocks = excluded.blocks, blocked_since_ms = excluded.blocked_since_ms,
               blocked_until_ms = excluded.blocked_until_ms, blocked_why = excluded.blocked_why,
               last_ms = excluded.last_ms, forget_ms = excluded.forget_ms,
               partition = excluded.partition, generation = excluded.generation,
               log_offset = excluded.log_offset;
    END IF;

    INSERT INTO audit
    SELECT ms, p, my_generation, log_offset, id, kind, username, right_password, decision,
           until_ms, change, policy_version, reply_partition
      FROM unnest(audit_ms, audit_offset, audit_id, audit_kind, audit_user, audit_right,
                  audit_decision, audit_until_ms, audit_change, audit_policy, audit_reply)
        AS a (ms, log_offset, id, kind, username, right_password, decision, until_ms, change,
              policy_version, reply_partition);

    IF cardinality(bad_offset) > 0 THEN
        INSERT INTO quarantine
        SELECT p, my_generation, log_offset, ms, key, value, reason
          FROM unnest(bad_offset, bad_ms, bad_key, bad_value, bad_reason)
            AS b (log_offset, ms, key, value, reason);
    END IF;
    RETURN true;
END
$$;

-- As before, by each state's own forget_ms. The time is the log's, but never later than this
-- server's clock: one record with a time far ahead must not delete what still counts.
CREATE OR REPLACE FUNCTION forget_lock_states(at_most int) RETURNS bigint
LANGUAGE sql AS $$
    WITH passed AS (
        SELECT partition, generation,
               CASE WHEN last_ms > 0 THEN least(last_ms, clock.ms) - 86400000 END AS now_ms,
               (SELECT least(min(coalesce(q.last_ms, 0)), clock.ms) - 86400000
                  FROM partition_progress q, topology t
                 WHERE q.partition < t.partitions) AS least_ms
          FROM partition_progress,
               (SELECT (extract(epoch FROM now()) * 1000)::bigint AS ms) AS clock
    ), forgotten AS (
        DELETE FROM lock_states s
         USING (SELECT c.username, now.ms AS now_ms
                  FROM lock_states c JOIN passed p USING (partition),
                       LATERAL (SELECT CASE WHEN c.generation = p.generation
                                            THEN p.now_ms ELSE p.least_ms END AS ms) AS now
                 WHERE c.forget_ms > 0
                   AND c.last_ms <= now.ms - c.forget_ms
                   AND coalesce(c.blocked_until_ms, 0) <= now.ms
                 LIMIT at_most) AS old
         WHERE s.username = old.username
           AND s.forget_ms > 0
           AND s.last_ms <= old.now_ms - s.forget_ms
           AND coalesce(s.blocked_until_ms, 0) <= old.now_ms
        RETURNING 1
    )
    SELECT count(*) FROM forgotten
$$;

-- Clear at most so many blocks that ended over a day ago; how many there were. An ended block
-- decides nothing, and the index of GET /blocked need not hold it. A state that its worker writes
-- at this moment is left for the next time.
CREATE FUNCTION clear_ended_blocks(at_most int) RETURNS bigint
LANGUAGE sql AS $$
    WITH ended AS (
        SELECT s.username
          FROM lock_states s JOIN partition_progress p USING (partition)
         WHERE p.last_ms > 0
           AND s.blocked_until_ms
               <= least(p.last_ms, (extract(epoch FROM now()) * 1000)::bigint) - 86400000
         LIMIT at_most
           FOR UPDATE OF s SKIP LOCKED
    ), cleared AS (
        UPDATE lock_states s
           SET blocked_since_ms = NULL, blocked_until_ms = NULL, blocked_why = NULL
          FROM ended WHERE s.username = ended.username
        RETURNING 1
    )
    SELECT count(*) FROM cleared
$$;

-- The audit's partition for the day of this append time, if it can be had at once. A worker asks
-- before it writes the first row of a day, so that a log that is replayed into an empty database
-- does not fill audit_default: each later partition would scan that under an exclusive lock.
-- A day that stands in audit_default already stays there. Raises lock_not_available while somebody
-- reads the audit; the rows then go to audit_default.
CREATE FUNCTION make_audit_day(ms bigint) RETURNS void
LANGUAGE plpgsql SET lock_timeout = '200ms' AS $$
DECLARE
    from_ms bigint := ms - ms % 86400000;
    name text := 'audit_' || to_char(to_timestamp(from_ms / 1000) AT TIME ZONE 'UTC', 'YYYYMMDD');
BEGIN
    -- A clock that jumped ahead makes no partitions.
    IF to_regclass(name) IS NOT NULL OR to_timestamp(from_ms / 1000) > now() + interval '1 day' THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('make_audit_partitions'));
    IF to_regclass(name) IS NULL
       AND NOT EXISTS (SELECT FROM audit_default
                        WHERE appended_ms >= from_ms AND appended_ms < from_ms + 86400000)
    THEN
        EXECUTE format('CREATE TABLE %I PARTITION OF audit FOR VALUES FROM (%s) TO (%s)',
                       name, from_ms, from_ms + 86400000);
    END IF;
END
$$;

-- decision 5: the request was appended after the last moment at which it may take effect.
CREATE OR REPLACE VIEW decisions AS
SELECT readable(appended_ms) AS at, partition, generation, log_offset, kind, username,
       CASE right_password WHEN true THEN 'right' WHEN false THEN 'wrong' END AS outcome,
       (ARRAY['accepted', 'rejected', 'blocked', 'moved', 'repeated', 'late'])[decision + 1]
           AS verdict,
       policy_version
  FROM audit;
