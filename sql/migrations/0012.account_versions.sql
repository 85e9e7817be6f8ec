-- depends: 0011.where_from

-- By which a login, and what it gave, is known to be older than a change of its account.
ALTER TABLE accounts ADD COLUMN version bigint NOT NULL
    DEFAULT (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
ALTER TABLE accounts ADD COLUMN disabled boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN accounts.version IS 'Rises when the password is changed or the account is disabled or enabled, not when its hash is renewed; the time of the change in milliseconds since 1970 at least, so that an account that was deleted and made anew has another one.';
COMMENT ON COLUMN accounts.disabled IS 'Whether nobody can log in to it.';
