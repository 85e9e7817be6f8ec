-- depends: 0013.password_forms

-- Names that are to be taken out of the audit still, because they were in too many rows for one
-- commit. Retention goes on with them.
CREATE TABLE erasures (
    username text PRIMARY KEY,
    partition int NOT NULL,
    generation int NOT NULL,
    log_offset bigint NOT NULL
);
COMMENT ON TABLE erasures IS 'Names of deleted accounts that the audit still has, as they were in too many rows for one commit; retention takes them out.';
COMMENT ON COLUMN erasures.partition IS 'With generation and log_offset: the deletion. Decisions before it lose the name.';

COMMENT ON TABLE accounts IS 'The accounts. The gateway writes them; apply_batch() deletes them, at the place that a deletion has in the log.';
COMMENT ON COLUMN audit.kind IS 'attempt, registered, unblock, password, deleted, policy or layout.';
COMMENT ON COLUMN audit.username IS 'Empty for policy and layout, which concern no account, for a deletion, and for everything that was decided before it.';

-- Take a name out of at most so many of the decisions before this position; how many there were.
-- The rows stay: their ids are how a repetition is known, and their times how a lost tail is found.
-- One after the other by their key, as a join might read the whole audit.
CREATE FUNCTION erase_name(
    name text, p int, its_generation int, its_offset bigint, at_most int
) RETURNS int
LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    found audit;
    erased int := 0;
BEGIN
    FOR found IN
        SELECT * FROM audit
         WHERE username = name
           AND (generation < its_generation
                OR partition = p AND generation = its_generation AND log_offset < its_offset)
         LIMIT at_most
    LOOP
        UPDATE audit SET username = '', source = NULL, user_agent = NULL
         WHERE appended_ms = found.appended_ms AND partition = found.partition
           AND generation = found.generation AND log_offset = found.log_offset;
        erased := erased + 1;
    END LOOP;
    RETURN erased;
END
$$;

-- Go on with the erasures, in at most so many rows; how many there were.
CREATE FUNCTION erase_deleted(at_most int) RETURNS int
LANGUAGE plpgsql AS $$
DECLARE
    one erasures;
    erased int := 0;
BEGIN
    FOR one IN SELECT * FROM erasures FOR UPDATE SKIP LOCKED LOOP
        erased := erased + erase_name(one.username, one.partition, one.generation,
                                      one.log_offset, at_most - erased);
        EXIT WHEN erased >= at_most;
        DELETE FROM erasures WHERE username = one.username;
    END LOOP;
    RETURN erased;
END
$$;

DROP FUNCTION apply_batch;

-- As before, and with a deletion, which is the first record of its batch: everything that stands in
-- the audit by then is published. An account that somebody has locked is left, so that no client
-- keeps a partition waiting; the gateway that asked looks for it and asks again.
CREATE FUNCTION apply_batch(
    p int, my_epoch bigint, my_generation int, from_offset bigint, to_offset bigint,
    fingerprint bytea, fingerprint_ms bigint, new_policy jsonb,

    state_username text[], state_failures_ms text[], state_in_a_row int[], state_blocks int[],
    state_since_ms bigint[], state_until_ms bigint[], state_why text[], state_last_ms bigint[],
    state_forget_ms bigint[], state_offset bigint[],

    audit_ms bigint[], audit_offset bigint[], audit_id bytea[], audit_kind text[],
    audit_user text[], audit_right boolean[], audit_decision smallint[], audit_until_ms bigint[],
    audit_change smallint[], audit_policy int[], audit_reply int[],
    audit_source text[], audit_user_agent text[],

    bad_offset bigint[], bad_ms bigint[], bad_key bytea[], bad_value bytea[], bad_reason text[],

    deleted_user text DEFAULT NULL, deleted_version bigint DEFAULT NULL
) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    at_once CONSTANT int := 1000;
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

    IF deleted_user IS NOT NULL THEN
        DELETE FROM accounts WHERE username IN (
            SELECT username FROM accounts
             WHERE username = deleted_user AND version <= deleted_version
               FOR UPDATE SKIP LOCKED);
        IF erase_name(deleted_user, p, my_generation, from_offset, at_once) = at_once THEN
            INSERT INTO erasures VALUES (deleted_user, p, my_generation, from_offset)
            ON CONFLICT (username) DO UPDATE
               SET partition = excluded.partition, generation = excluded.generation,
                   log_offset = excluded.log_offset;
        END IF;
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
           until_ms, change, policy_version, reply_partition, source, user_agent
      FROM unnest(audit_ms, audit_offset, audit_id, audit_kind, audit_user, audit_right,
                  audit_decision, audit_until_ms, audit_change, audit_policy, audit_reply,
                  audit_source, audit_user_agent)
        AS a (ms, log_offset, id, kind, username, right_password, decision, until_ms, change,
              policy_version, reply_partition, source, user_agent);

    IF cardinality(bad_offset) > 0 THEN
        INSERT INTO quarantine
        SELECT p, my_generation, log_offset, ms, key, value, reason
          FROM unnest(bad_offset, bad_ms, bad_key, bad_value, bad_reason)
            AS b (log_offset, ms, key, value, reason);
    END IF;
    RETURN true;
END
$$;
