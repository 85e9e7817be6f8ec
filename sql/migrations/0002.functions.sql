-- depends: 0001.tables

-- The caller owns the partition from now on; whoever had it before is fenced. An epoch is never
-- below the clock, so that a database that was set back gives none out again.
CREATE FUNCTION claim_partition(p int, new_owner text) RETURNS partition_progress
LANGUAGE sql AS $$
    INSERT INTO partition_progress AS mine (partition, epoch, owner)
    VALUES (p, (extract(epoch FROM clock_timestamp()) * 1000)::bigint, new_owner)
    ON CONFLICT (partition) DO UPDATE
       SET epoch = greatest(mine.epoch + 1, excluded.epoch), owner = excluded.owner, claimed_at = now()
    RETURNING mine.*
$$;

-- The log is not the one that was read before, or has lost its beginning: go on elsewhere.
-- False: another owner has the partition.
CREATE FUNCTION move_partition(
    p int, my_epoch bigint, new_generation int, new_topic_id text, new_offset bigint,
    now_missing bigint
) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE partition_progress
       SET generation = new_generation, topic_id = new_topic_id, next_offset = new_offset,
           batch_offset = new_offset, last_fingerprint = NULL, last_ms = NULL,
           missing = missing + now_missing
     WHERE partition = p AND epoch = my_epoch;
    RETURN FOUND;
END
$$;

-- One batch, whole or not at all: progress by compare-and-set first, then what it stands for.
-- False, and nothing written: the partition has another owner, or is elsewhere.
-- An account whose failures are NULL has nothing against it any more.
CREATE FUNCTION apply_batch(
    p int, my_epoch bigint, my_generation int, from_offset bigint, to_offset bigint,
    fingerprint bytea, fingerprint_ms bigint, new_policy jsonb,

    state_username text[], state_failures_ms text[], state_in_a_row int[], state_blocks int[],
    state_since_ms bigint[], state_until_ms bigint[], state_why text[], state_last_ms bigint[],
    state_offset bigint[],

    audit_ms bigint[], audit_offset bigint[], audit_id bytea[], audit_kind text[],
    audit_user text[], audit_right boolean[], audit_decision smallint[], audit_until_ms bigint[],
    audit_change smallint[], audit_policy int[], audit_reply int[],

    bad_offset bigint[], bad_ms bigint[], bad_key bytea[], bad_value bytea[], bad_reason text[]
) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE partition_progress
       SET next_offset = to_offset, batch_offset = from_offset, last_fingerprint = fingerprint,
           last_ms = fingerprint_ms, policy = coalesce(new_policy, policy)
     WHERE partition = p AND epoch = my_epoch AND generation = my_generation
       AND next_offset = from_offset;
    IF NOT FOUND THEN
        RETURN false;
    END IF;

    IF cardinality(state_username) > 0 THEN
        DELETE FROM lock_states
         USING unnest(state_username, state_failures_ms) AS s (username, failures_ms)
         WHERE lock_states.username = s.username AND s.failures_ms IS NULL;

        INSERT INTO lock_states
        SELECT username, failures_ms::bigint[], in_a_row, blocks, since_ms, until_ms, why, last_ms,
               p, my_generation, log_offset
          FROM unnest(state_username, state_failures_ms, state_in_a_row, state_blocks,
                      state_since_ms, state_until_ms, state_why, state_last_ms, state_offset)
            AS s (username, failures_ms, in_a_row, blocks, since_ms, until_ms, why, last_ms,
                  log_offset)
         WHERE failures_ms IS NOT NULL
        ON CONFLICT (username) DO UPDATE
           SET failures_ms = excluded.failures_ms, in_a_row = excluded.in_a_row,
               blocks = excluded.blocks, blocked_since_ms = excluded.blocked_since_ms,
               blocked_until_ms = excluded.blocked_until_ms, blocked_why = excluded.blocked_why,
               last_ms = excluded.last_ms, partition = excluded.partition,
               generation = excluded.generation, log_offset = excluded.log_offset;
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

-- Audit partitions, one a day (UTC), from today on; those that exist already stay.
-- Rows whose day has none land in audit_default and are read from there all the same.
CREATE FUNCTION make_audit_partitions(days_ahead int) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    day date;
    from_ms bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('make_audit_partitions'));
    FOR day IN SELECT (now() AT TIME ZONE 'UTC')::date + n FROM generate_series(0, days_ahead) n
    LOOP
        from_ms := extract(epoch FROM day::timestamp) * 1000;
        IF to_regclass('audit_' || to_char(day, 'YYYYMMDD')) IS NULL
           AND NOT EXISTS (SELECT FROM audit_default
                            WHERE appended_ms >= from_ms AND appended_ms < from_ms + 86400000)
        THEN
            EXECUTE format('CREATE TABLE %I PARTITION OF audit FOR VALUES FROM (%s) TO (%s)',
                           'audit_' || to_char(day, 'YYYYMMDD'), from_ms, from_ms + 86400000);
        END IF;
    END LOOP;
END
$$;
