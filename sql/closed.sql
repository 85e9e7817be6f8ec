-- Nobody calls a function that has its owner's rights but the parts that sql/rights.sql names.
-- `python -m sql` runs this each time, before that: Postgres lets everybody call a function that is
-- new, as all of them are after `pg_dump --no-privileges`.
REVOKE EXECUTE ON FUNCTION
    make_account, change_password, renew_hash, change_version, change_disabled, first_decision,
    make_audit_day, make_audit_partitions, drop_old_audit, count_password_forms,
    note_operator_login, note_attack
  FROM PUBLIC;
