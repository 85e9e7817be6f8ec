-- depends: 0022.events

-- What operators did is found among all that others did: a row for each thing, and none for a login.
CREATE INDEX audit_operator ON audit (appended_ms) WHERE operator IS NOT NULL;
