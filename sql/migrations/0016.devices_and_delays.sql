-- depends: 0014.deletions

-- Wrong passwords that an account's own devices sent, and which wrong password each was.
ALTER TABLE lock_states ADD COLUMN guesses bytea, ADD COLUMN devices jsonb;
COMMENT ON TABLE lock_states IS 'A row for each account that has something against it, or a device that has; an account without one is clean. apply_batch() writes it; clear_ended_blocks() and forget_lock_states() remove what counts no more.';
COMMENT ON COLUMN lock_states.guesses IS 'Eight bytes for each of failures_ms, by which the same wrong password is known again for as long as the gateways have the key; null: no gateway said any.';
COMMENT ON COLUMN lock_states.devices IS 'Devices of the account with wrong passwords, the one that guessed last at the end: all that it counted, the end of its block (null: it is trusted still), and what it guessed. Null: none.';

COMMENT ON COLUMN audit.until_ms IS 'The end of the block after this decision, of the account or of the device that asked; 0: not blocked, 9223372036854775807: until an operator lifts it.';

-- How long a login was delayed for what its source did, as its attempt says.
ALTER TABLE audit ADD COLUMN delayed_ms int NOT NULL DEFAULT 0;
COMMENT ON COLUMN audit.delayed_ms IS 'Milliseconds for which the gateway delayed the login for what its source did before; it decides nothing.';

CREATE OR REPLACE VIEW decisions AS
SELECT readable(appended_ms) AS at, partition, generation, log_offset, kind, username,
       CASE right_password WHEN true THEN 'right' WHEN false THEN 'wrong' END AS outcome,
       (ARRAY['accepted', 'rejected', 'blocked', 'moved', 'repeated', 'late'])[decision + 1]
           AS verdict,
       policy_version, source, user_agent, delayed_ms, encode(id, 'hex') AS id
  FROM audit;

DROP FUNCTION apply_batch;

-- As before, with the columns above.
CREATE FUNCTION apply_batch(
    p int, my_epoch bigint, my_generation int, from_offset bigint, to_offset bigint,
    fingerprint bytea, fingerprint_ms bigint, new_policy jsonb,

    state_username text[], state_failures_ms text[], state_in_a_row int[], state_blocks int[],
    state_since_ms bigint[], state_until_ms bigint[], state_why text[], state_last_ms bigint[],
    state_forget_ms bigint[], state_guesses bytea[], state_devices text[],
    state_offset bigint[],

    audit_ms bigint[], audit_offset bigint[], audit_id bytea[], audit_kind text[],
    audit_user text[], audit_right boolean[], audit_decision smallint[], audit_until_ms bigint[],
    audit_change smallint[], audit_policy int[], audit_reply int[],
    audit_source text[], audit_user_agent text[], audit_delayed_ms int[],

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
                                 blocked_until_ms, blocked_why, last_ms, forget_ms, guesses,
                                 devices, partition, generation, log_offset)
        SELECT username, failures_ms::bigint[], in_a_row, blocks, since_ms, until_ms, why, last_ms,
               forget_ms, guesses, devices::jsonb, p, my_generation, log_offset
          FROM unnest(state_username, state_failures_ms, state_in_a_row, state_blocks,
                      state_since_ms, state_until_ms, state_why, state_last_ms, state_forget_ms,
                      state_guesses, state_devices, state_offset)
            AS s (username, failures_ms, in_a_row, blocks, since_ms, until_ms, why, last_ms,
                  forget_ms, guesses, devices, log_offset)
         WHERE failures_ms IS NOT NULL
        ON CONFLICT (username) DO UPDATE
           SET failures_ms = excluded.failures_ms, in_a_row = excluded.in_a_row,
               blocks = excluded.blocks, blocked_since_ms = excluded.blocked_since_ms,
               blocked_until_ms = excluded.blocked_until_ms, blocked_why = excluded.blocked_why,
               last_ms = excluded.last_ms, forget_ms = excluded.forget_ms,
               guesses = excluded.guesses, devices = excluded.devices,
               partition = excluded.partition, generation = excluded.generation,
               log_offset = excluded.log_offset;
    END IF;

    INSERT INTO audit
    SELECT ms, p, my_generation, log_offset, id, kind, username, right_password, decision,
           until_ms, change, policy_version, reply_partition, source, user_agent, delayed_ms
      FROM unnest(audit_ms, audit_offset, audit_id, audit_kind, audit_user, audit_right,
                  audit_decision, audit_until_ms, audit_change, audit_policy, audit_reply,
                  audit_source, audit_user_agent, audit_delayed_ms)
        AS a (ms, log_offset, id, kind, username, right_password, decision, until_ms, change,
              policy_version, reply_partition, source, user_agent, delayed_ms);

    IF cardinality(bad_offset) > 0 THEN
        INSERT INTO quarantine
        SELECT p, my_generation, log_offset, ms, key, value, reason
          FROM unnest(bad_offset, bad_ms, bad_key, bad_value, bad_reason)
            AS b (log_offset, ms, key, value, reason);
    END IF;
    RETURN true;
END
$$;
