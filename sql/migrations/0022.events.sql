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

CREATE TABLE webhooks (
    name text PRIMARY KEY,
    url text NOT NULL,
    format text NOT NULL CHECK (format IN ('cerrojo', 'ocsf')),
    secret bytea NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE webhooks IS 'Where events are posted to. `cerrojo webhooks` writes it.';
COMMENT ON COLUMN webhooks.format IS 'cerrojo: as on the topic `events`; ocsf: as OCSF''s class Authentication.';
COMMENT ON COLUMN webhooks.secret IS 'By which the relay signs what it posts, and the receiver checks that; both have it.';

CREATE TABLE webhook_deliveries (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    webhook text NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    event_id text NOT NULL,
    body bytea NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT now(),
    tries int NOT NULL DEFAULT 0,
    refusals int NOT NULL DEFAULT 0,
    failing_since timestamptz,
    next_at timestamptz NOT NULL DEFAULT now(),
    failure text,
    dead_at timestamptz
);
COMMENT ON TABLE webhook_deliveries IS 'A row for each event that a receiver does not have yet, in the order in which it is to get them. The relay writes it, with its cursors.';
COMMENT ON COLUMN webhook_deliveries.body IS 'What is posted.';
COMMENT ON COLUMN webhook_deliveries.tries IS 'How often it was posted in vain.';
COMMENT ON COLUMN webhook_deliveries.refusals IS 'How many of them were refusals by a receiver that is there.';
COMMENT ON COLUMN webhook_deliveries.failing_since IS 'When it was first posted in vain; null: it was not.';
COMMENT ON COLUMN webhook_deliveries.next_at IS 'It is not posted before this.';
COMMENT ON COLUMN webhook_deliveries.failure IS 'Why it was in vain the last time, in a sentence for people.';
COMMENT ON COLUMN webhook_deliveries.dead_at IS 'When it was given up; a dead letter waits for `cerrojo webhooks resend`. Null: it was not.';
CREATE INDEX webhook_deliveries_webhook ON webhook_deliveries (webhook);
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (webhook, number) WHERE dead_at IS NULL;
CREATE INDEX webhook_deliveries_dead ON webhook_deliveries (webhook, number)
    WHERE dead_at IS NOT NULL;

-- What no decision says and events tell: logins of operators, and attacks.
CREATE TABLE event_notes (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind text NOT NULL,
    data jsonb NOT NULL
);
COMMENT ON TABLE event_notes IS 'What the operator ports have noted and the relay has not published yet: it removes what it has.';
COMMENT ON COLUMN event_notes.kind IS 'The type of the event.';
COMMENT ON COLUMN event_notes.data IS 'What the event says.';

CREATE TABLE attack_now (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    since timestamptz
);
COMMENT ON TABLE attack_now IS 'One row: since when an attack lasts, as far as events have told; null: none does.';
INSERT INTO attack_now DEFAULT VALUES;

CREATE FUNCTION note_operator_login(operator text, role text, source text) RETURNS void
LANGUAGE sql SECURITY DEFINER AS $$
    INSERT INTO event_notes (kind, data)
    VALUES ('operator.login', jsonb_build_object('operator', operator, 'role', role,
                                                 'source', source))
$$;
COMMENT ON FUNCTION note_operator_login IS 'Note that an operator has logged in at the console.';

CREATE FUNCTION note_attack(lasts boolean, what jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    began timestamptz;
BEGIN
    SELECT since INTO began FROM attack_now FOR UPDATE;
    IF (began IS NOT NULL) = lasts THEN
        RETURN false;
    END IF;
    UPDATE attack_now SET since = CASE WHEN lasts THEN clock_timestamp() END;
    INSERT INTO event_notes (kind, data)
    VALUES (CASE WHEN lasts THEN 'attack.began' ELSE 'attack.ended' END,
            CASE WHEN lasts THEN what ELSE what || jsonb_build_object('since', began) END);
    RETURN true;
END
$$;
COMMENT ON FUNCTION note_attack IS 'Note that an attack lasts or does not; false where that was known. All gateways see the same, and the first one to say it is heard.';
REVOKE EXECUTE ON FUNCTION note_operator_login, note_attack FROM PUBLIC;

-- As in 0015.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION note_operator_login SET search_path = %I, pg_temp',
                   current_schema);
    EXECUTE format('ALTER FUNCTION note_attack SET search_path = %I, pg_temp', current_schema);
END
$$;
