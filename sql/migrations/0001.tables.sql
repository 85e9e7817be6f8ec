-- Times are milliseconds since 1970 as Kafka's append times are, so that nothing is rounded;
-- columns that hold them end in _ms. The views of 0003 show them as timestamps. These are the
-- tables of the beginning: sql/schema.sql has those of today, and 0009 the meaning of each column.

CREATE TABLE accounts (
    username      text PRIMARY KEY,
    password_hash text NOT NULL,
    registered_at timestamptz NOT NULL DEFAULT now()
);

-- How many partitions of `attempts` are used, once and for all gateways: a username's
-- partition is its CRC32 modulo this number, whatever the topic has.
CREATE TABLE topology (
    singleton  boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    partitions int NOT NULL CHECK (partitions > 0)
);

-- One row for each account with something against it; none means a clean account. Only
-- apply_batch() writes it; retention removes what counts no more.
CREATE TABLE lock_states (
    username         text PRIMARY KEY,
    failures_ms      bigint[] NOT NULL,  -- the wrong ones that still count, oldest first
    in_a_row         int NOT NULL,       -- wrong ones since the last success
    blocks           int NOT NULL,       -- blocks since the last success
    blocked_since_ms bigint,
    blocked_until_ms bigint,             -- 9223372036854775807: until an operator lifts it
    blocked_why      text,
    last_ms          bigint NOT NULL,    -- the latest append time seen for this account
    partition        int NOT NULL,
    generation       int NOT NULL,       -- with log_offset: the record that set this state
    log_offset       bigint NOT NULL
);

CREATE INDEX lock_states_blocked ON lock_states (username) WHERE blocked_until_ms IS NOT NULL;

-- How far each partition has been decided, and by whom.
CREATE TABLE partition_progress (
    partition        int PRIMARY KEY,
    epoch            bigint NOT NULL,    -- rises with each claim; a lower one is a zombie's
    owner            text NOT NULL,
    generation       int NOT NULL DEFAULT 1,
    topic_id         text,
    next_offset      bigint NOT NULL DEFAULT 0,
    batch_offset     bigint NOT NULL DEFAULT 0,  -- where the last committed batch began
    last_fingerprint bytea,              -- of the record before next_offset, to know it again
    last_ms          bigint,
    missing          bigint NOT NULL DEFAULT 0,  -- records that were gone before they were read
    policy           jsonb,
    claimed_at       timestamptz NOT NULL DEFAULT now()
);

-- Every decision, for people and for publishing the last batch again.
CREATE TABLE audit (
    appended_ms     bigint NOT NULL,
    partition       int NOT NULL,
    generation      int NOT NULL,
    log_offset      bigint NOT NULL,
    id              bytea NOT NULL,
    kind            text NOT NULL,       -- attempt, registered, unblock, policy, layout
    username        text NOT NULL,       -- empty for policy and layout
    right_password  boolean,             -- of an attempt
    decision        smallint NOT NULL,   -- 0 accepted, 1 rejected, 2 blocked, 3 moved, 4 repeated, 5 late
    until_ms        bigint NOT NULL,     -- end of the block after this decision; 0: none
    change          smallint NOT NULL,   -- 1 this blocked the account, -1 unblocked it, 0 neither
    policy_version  int NOT NULL,
    reply_partition int NOT NULL,
    PRIMARY KEY (partition, generation, log_offset, appended_ms)
) PARTITION BY RANGE (appended_ms);

CREATE INDEX audit_username ON audit (username, appended_ms);

CREATE TABLE audit_default PARTITION OF audit DEFAULT;

-- Records that could not be decided; the partition went on without them.
CREATE TABLE quarantine (
    partition   int NOT NULL,
    generation  int NOT NULL,
    log_offset  bigint NOT NULL,
    appended_ms bigint NOT NULL,
    key         bytea,
    value       bytea,
    reason      text NOT NULL,
    PRIMARY KEY (partition, generation, log_offset)
);
