-- depends: 0008.exact_forgetting

-- What each table and column means, kept in the database itself: psql shows it (\d+), and so does
-- sql/schema.sql. The comments in earlier migrations are of their time.

COMMENT ON TABLE accounts IS 'The registered accounts. Only the gateway writes them.';
COMMENT ON COLUMN accounts.username IS 'The normalized name.';
COMMENT ON COLUMN accounts.password_hash IS 'Argon2id, with its settings in it.';

COMMENT ON TABLE topology IS 'One row: the partitions of `attempts` that accounts are divided over, for all gateways and workers.';
COMMENT ON COLUMN topology.singleton IS 'Keeps it one row.';
COMMENT ON COLUMN topology.partitions IS 'The number in use: the partition of an account is the CRC32 of its username modulo this, whatever the topic has.';
COMMENT ON COLUMN topology.wanted IS 'More than `partitions` while a resize is under way; otherwise of no meaning.';

COMMENT ON TABLE lock_states IS 'A row for each account that has something against it; an account without one is clean. apply_batch() writes it; clear_ended_blocks() and forget_lock_states() remove what counts no more.';
COMMENT ON COLUMN lock_states.username IS 'The normalized name, of an account that is known or not.';
COMMENT ON COLUMN lock_states.failures_ms IS 'Append times of the wrong passwords that still count towards the next block, oldest first.';
COMMENT ON COLUMN lock_states.in_a_row IS 'Wrong passwords since the last success, over all blocks.';
COMMENT ON COLUMN lock_states.blocks IS 'Blocks since the last success.';
COMMENT ON COLUMN lock_states.blocked_since_ms IS 'The beginning of the last block, which may be over; null: none, or it was cleared.';
COMMENT ON COLUMN lock_states.blocked_until_ms IS 'The end of the last block; 9223372036854775807: until an operator lifts it.';
COMMENT ON COLUMN lock_states.blocked_why IS 'The reason for the last block, in a sentence for people.';
COMMENT ON COLUMN lock_states.last_ms IS 'The latest append time that was decided for this account.';
COMMENT ON COLUMN lock_states.partition IS 'With generation and log_offset: the record that set this state.';
COMMENT ON COLUMN lock_states.forget_ms IS 'How long after last_ms this state counts, by the policy that made it; 0: for ever.';

COMMENT ON TABLE partition_progress IS 'How far each partition of `attempts` is decided, by whom, and under which policy.';
COMMENT ON COLUMN partition_progress.epoch IS 'The number of the claim, in milliseconds since 1970 at least; an owner of a lower one writes nothing.';
COMMENT ON COLUMN partition_progress.owner IS 'Host, pid and start of the process that has the partition.';
COMMENT ON COLUMN partition_progress.generation IS 'Rises when the log was made anew or lost its tail, and for all partitions when a layout comes into force.';
COMMENT ON COLUMN partition_progress.topic_id IS 'By which a topic that was made anew is known from the former one.';
COMMENT ON COLUMN partition_progress.next_offset IS 'Everything before this offset is decided.';
COMMENT ON COLUMN partition_progress.batch_offset IS 'Where the last committed batch began; the next owner publishes from here again.';
COMMENT ON COLUMN partition_progress.last_fingerprint IS 'Of the record before next_offset, by which it is known again.';
COMMENT ON COLUMN partition_progress.last_ms IS 'The append time of the record before next_offset.';
COMMENT ON COLUMN partition_progress.missing IS 'Records that were gone before anybody had decided them.';
COMMENT ON COLUMN partition_progress.policy IS 'The policy in force at next_offset; null before the first one.';
COMMENT ON COLUMN partition_progress.claimed_at IS 'When the owner claimed it, by the clock of the database.';
COMMENT ON COLUMN partition_progress.left_well IS 'Whether the owner has shut down cleanly.';
COMMENT ON COLUMN partition_progress.suspect IS 'Whether the owner before this one had not: records are decided one by one at first.';
COMMENT ON COLUMN partition_progress.alone_generation IS 'With alone_offset: the record that is, or was last, decided in isolation.';
COMMENT ON COLUMN partition_progress.alone_deaths IS 'The deaths of owners that count against that record; too many put it into quarantine.';
COMMENT ON COLUMN partition_progress.layout IS 'The partition decides no request whose sender chose by fewer partitions than this.';
COMMENT ON COLUMN partition_progress.latest_ms IS 'The latest append time of any decided record; ids are known again for some time before it.';

COMMENT ON TABLE audit IS 'Every decision, for people and for publishing the last batch again; a partition of the table for each day.';
COMMENT ON COLUMN audit.appended_ms IS 'The time of the record in its log, in milliseconds since 1970: the only time that decides anything.';
COMMENT ON COLUMN audit.partition IS 'With generation and log_offset: the position of the record.';
COMMENT ON COLUMN audit.id IS 'By which a request and its verdict are recognised.';
COMMENT ON COLUMN audit.kind IS 'attempt, registered, unblock, policy or layout.';
COMMENT ON COLUMN audit.username IS 'Empty for policy and layout, which concern no account.';
COMMENT ON COLUMN audit.right_password IS 'The outcome of an attempt; null where it is none.';
COMMENT ON COLUMN audit.decision IS '0 accepted, 1 rejected, 2 blocked; not decided: 3 moved, 4 repeated, 5 late.';
COMMENT ON COLUMN audit.until_ms IS 'The end of the block after this decision; 0: not blocked, 9223372036854775807: until an operator lifts it.';
COMMENT ON COLUMN audit.change IS '1: this blocked the account; -1: this unblocked it; 0: neither.';
COMMENT ON COLUMN audit.policy_version IS 'The version of the policy that decided.';
COMMENT ON COLUMN audit.reply_partition IS 'The partition of `verdicts` for the verdict.';

COMMENT ON TABLE quarantine IS 'Records that could not be decided: not to be decoded, misrouted, or deadly to the worker. The partition went on without them.';
COMMENT ON COLUMN quarantine.partition IS 'With generation and log_offset: the position of the record.';
COMMENT ON COLUMN quarantine.key IS 'The bytes as they stood in the log.';
COMMENT ON COLUMN quarantine.value IS 'The bytes as they stood in the log.';
COMMENT ON COLUMN quarantine.reason IS 'Why it was not decided, in a sentence for people.';
COMMENT ON COLUMN quarantine.replayed_at IS 'When an operator appended it to the log again; null: it still waits for somebody.';

COMMENT ON VIEW blocked_accounts IS 'The accounts that are blocked now by the clock of the database, as a person reads them.';
COMMENT ON VIEW decisions IS 'The audit, as a person reads it. Without ids, reply partitions and block ends.';
