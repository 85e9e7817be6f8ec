-- depends: 0020.operators

-- The operator port lists blocks newest first, also among a million of them.
CREATE INDEX lock_states_blocked_since ON lock_states (blocked_since_ms, username)
    WHERE blocked_until_ms IS NOT NULL;
