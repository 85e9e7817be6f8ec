-- depends: 0021.newest_blocks

-- What the relay has made events of. Those of before this migration are none: nobody waited for them.
CREATE TABLE event_cursors (
    partition int PRIMARY KEY,
    generation int NOT NULL,
    next_offset bigint NOT NULL
);
COMMENT ON TABLE event_cursors IS 'Up to where the decisions of each partition have been published as events. The relay writes it.';
COMMENT ON COLUMN event_cursors.generation IS 'With next_offset: everything before this position is published.';
INSERT INTO event_cursors SELECT partition, generation, next_offset FROM partition_progress;

CREATE TABLE event_ends (
    username text PRIMARY KEY,
    until_ms bigint NOT NULL,
    since_ms bigint NOT NULL,
    partition int NOT NULL,
    generation int NOT NULL,
    log_offset bigint NOT NULL
);
COMMENT ON TABLE event_ends IS 'Ends of blocks that are to be events at their time. The relay writes it: a lock state may be gone or changed by then.';
COMMENT ON COLUMN event_ends.until_ms IS 'The end of the block.';
COMMENT ON COLUMN event_ends.since_ms IS 'The append time of the decision that blocked the account.';
COMMENT ON COLUMN event_ends.partition IS 'With generation and log_offset: the position of that decision.';
CREATE INDEX event_ends_until ON event_ends (until_ms);
