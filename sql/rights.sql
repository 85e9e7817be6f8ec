-- What each part of Cerrojo may do in Postgres. `python -m sql` runs this each time that it has
-- brought the schema up to date, where the three roles exist. The tables' owner may do everything;
-- the steps and the command `cerrojo` are its.
--
-- Tables are written by those alone that decide: accounts by the functions of 0015, everything else
-- by workers. A right that is no longer needed is revoked by the migration that ends the need.

-- The login port: it checks passwords, and knows who is blocked.
GRANT SELECT (username, password_hash, version, disabled) ON accounts TO cerrojo_gateway;
GRANT EXECUTE ON FUNCTION make_account, change_password, renew_hash, first_decision
   TO cerrojo_gateway;
GRANT SELECT ON decoy_key TO cerrojo_gateway;
GRANT SELECT, UPDATE (settled) ON password_forms TO cerrojo_gateway;

-- The operator port: it shows the audit, and no hash. It writes no table.
GRANT SELECT (username, registered_at, version, disabled) ON accounts TO cerrojo_operator;
GRANT EXECUTE ON FUNCTION make_account, change_password, change_version, change_disabled
   TO cerrojo_operator;
GRANT SELECT (username, blocked_since_ms, blocked_why, in_a_row, blocks, blocked_by_hand)
   ON lock_states TO cerrojo_operator;
GRANT SELECT ON audit, audit_seals, operator_tokens, shadow_policy TO cerrojo_operator;
GRANT SELECT (policy) ON partition_progress TO cerrojo_operator;
GRANT EXECUTE ON FUNCTION note_operator_login, note_attack TO cerrojo_operator;

-- Both have a blocklist.
GRANT SELECT ON topology TO cerrojo_gateway, cerrojo_operator;
GRANT SELECT (partition, epoch, generation, next_offset, last_ms) ON partition_progress
   TO cerrojo_gateway, cerrojo_operator;
GRANT SELECT (username, blocked_until_ms, generation, log_offset) ON lock_states
   TO cerrojo_gateway, cerrojo_operator;

-- The workers and their commands: they decide, and delete accounts where the log does.
GRANT SELECT, INSERT, UPDATE ON partition_progress TO cerrojo_workers;
GRANT SELECT, INSERT, UPDATE, DELETE ON lock_states, quarantine, erasures, audit_seals
   TO cerrojo_workers;
GRANT SELECT, INSERT, UPDATE (username, source, user_agent, device, guess, salt, reason)
   ON audit
   TO cerrojo_workers;
GRANT SELECT, UPDATE ON topology TO cerrojo_workers;
GRANT SELECT, INSERT, UPDATE, DELETE ON shadow_policy TO cerrojo_workers;
-- An account that somebody has locked is passed over, and a lock takes a right to update something.
GRANT SELECT (username, version), DELETE, UPDATE (registered_at) ON accounts TO cerrojo_workers;
GRANT EXECUTE ON FUNCTION make_audit_day, make_audit_partitions, drop_old_audit,
                          count_password_forms
   TO cerrojo_workers;
-- The relay, which is a process of theirs, writes how far events are published, and posts them.
GRANT SELECT, INSERT, UPDATE, DELETE ON event_cursors, event_ends, webhook_deliveries
   TO cerrojo_workers;
GRANT SELECT, DELETE ON event_notes TO cerrojo_workers;
GRANT SELECT ON webhooks TO cerrojo_workers;
