-- Erasing a person: rules, legal holds, requests, the ledger, and the proof.
CREATE TABLE crewsnow_ops.erasure_rules (
    target text NOT NULL,
    owner_column text,
    action text NOT NULL CONSTRAINT erasure_rules_action_check CHECK (
        action OPERATOR(pg_catalog.=) ANY (ARRAY['delete', 'anonymise', 'keep'])),
    replacements jsonb,
    legal_basis text NOT NULL CONSTRAINT erasure_rules_legal_basis_check CHECK (
        legal_basis OPERATOR(pg_catalog.<>) ''),
    changed_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    changed_by text NOT NULL DEFAULT SESSION_USER,
    CONSTRAINT erasure_rules_target_key UNIQUE NULLS NOT DISTINCT (target, owner_column),
    CONSTRAINT erasure_rules_replacements_check CHECK (
        (action OPERATOR(pg_catalog.=) 'anonymise')
            OPERATOR(pg_catalog.=) (replacements IS NOT NULL))
) USING heap;
ALTER TABLE crewsnow_ops.erasure_rules REPLICA IDENTITY FULL;
COMMENT ON TABLE crewsnow_ops.erasure_rules IS
    'Exceptions from the default of an erasure. By default, rows that foreign keys reach from the '
    'person''s account are deleted, and keys with ON DELETE SET NULL are set to NULL.';
COMMENT ON COLUMN crewsnow_ops.erasure_rules.target IS
    'Table, schema-qualified, quoted as in SQL. A text, so that a dump restores in any order.';
COMMENT ON COLUMN crewsnow_ops.erasure_rules.owner_column IS
    'Column that holds the person''s id or e-mail address, with or without a foreign key. NULL: '
    'the rule applies to all rows of the table that foreign keys reach.';
COMMENT ON COLUMN crewsnow_ops.erasure_rules.action IS
    'delete; anonymise: the columns of replacements are overwritten; keep: nothing is done.';
COMMENT ON COLUMN crewsnow_ops.erasure_rules.replacements IS
    'For anonymise: object from column to its new value as text, or null. {pseudonym} in a text '
    'stands for the pseudonym of the erasure. NULL for other actions.';
COMMENT ON COLUMN crewsnow_ops.erasure_rules.legal_basis IS
    'Reason for the rule, such as a law that demands that invoices are kept.';
COMMENT ON COLUMN crewsnow_ops.erasure_rules.changed_at IS 'Time of the last change.';
COMMENT ON COLUMN crewsnow_ops.erasure_rules.changed_by IS
    'Login role (session_user) of the last change.';
COMMENT ON CONSTRAINT erasure_rules_target_key ON crewsnow_ops.erasure_rules IS
    'One rule for a table, and one for each of its owner columns.';
COMMENT ON CONSTRAINT erasure_rules_action_check ON crewsnow_ops.erasure_rules IS
    'delete, anonymise or keep.';
COMMENT ON CONSTRAINT erasure_rules_legal_basis_check ON crewsnow_ops.erasure_rules IS
    'A rule has a reason.';
COMMENT ON CONSTRAINT erasure_rules_replacements_check ON crewsnow_ops.erasure_rules IS
    'replacements belongs to anonymise, and to nothing else.';

CREATE TABLE crewsnow_ops.legal_holds (
    id uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
    user_id text NOT NULL,
    reason text NOT NULL CONSTRAINT legal_holds_reason_check CHECK (
        reason OPERATOR(pg_catalog.<>) ''),
    placed_by text NOT NULL DEFAULT SESSION_USER,
    placed_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    ends_at timestamptz,
    released_at timestamptz,
    CONSTRAINT legal_holds_pkey PRIMARY KEY (id)
) USING heap;
COMMENT ON TABLE crewsnow_ops.legal_holds IS
    'Persons whose data must be kept, for example for a lawsuit. While a hold stands, '
    'execute_erasure refuses the person.';
COMMENT ON COLUMN crewsnow_ops.legal_holds.id IS 'The hold.';
COMMENT ON COLUMN crewsnow_ops.legal_holds.user_id IS
    'Id of the person, or the e-mail address. An erasure replaces it by the pseudonym.';
COMMENT ON COLUMN crewsnow_ops.legal_holds.reason IS 'Reason, such as the number of a case.';
COMMENT ON COLUMN crewsnow_ops.legal_holds.placed_by IS 'Login role (session_user).';
COMMENT ON COLUMN crewsnow_ops.legal_holds.placed_at IS 'Time when it began (clock time).';
COMMENT ON COLUMN crewsnow_ops.legal_holds.ends_at IS
    'Time when it ends by itself; NULL: until it is released.';
COMMENT ON COLUMN crewsnow_ops.legal_holds.released_at IS
    'Time of the release; NULL while it stands.';
COMMENT ON CONSTRAINT legal_holds_pkey ON crewsnow_ops.legal_holds IS 'One row per hold.';
COMMENT ON CONSTRAINT legal_holds_reason_check ON crewsnow_ops.legal_holds IS
    'A hold has a reason.';

CREATE TABLE crewsnow_ops.erasure_salts (
    id uuid NOT NULL,
    salt bytea NOT NULL,
    created_at timestamptz NOT NULL,
    system_identifier bigint NOT NULL,
    database oid NOT NULL,
    CONSTRAINT erasure_salts_pkey PRIMARY KEY (id)
) USING heap;
COMMENT ON TABLE crewsnow_ops.erasure_salts IS
    'Salts of the hashes in the ledger: the own one since the first request, and those of imported '
    'ledgers. No access level reads it.';
COMMENT ON COLUMN crewsnow_ops.erasure_salts.id IS 'The salt.';
COMMENT ON COLUMN crewsnow_ops.erasure_salts.salt IS '32 random bytes.';
COMMENT ON COLUMN crewsnow_ops.erasure_salts.created_at IS 'Time of the first use.';
COMMENT ON COLUMN crewsnow_ops.erasure_salts.system_identifier IS
    'Cluster that made it. In another cluster the database is a copy.';
COMMENT ON COLUMN crewsnow_ops.erasure_salts.database IS 'Database that made it.';
COMMENT ON CONSTRAINT erasure_salts_pkey ON crewsnow_ops.erasure_salts IS 'One row per salt.';

CREATE TABLE crewsnow_ops.erasure_requests (
    id uuid NOT NULL,
    user_id text,
    reason text NOT NULL,
    requested_at timestamptz NOT NULL,
    requested_by text NOT NULL,
    due_at timestamptz NOT NULL,
    executed_at timestamptz,
    executed_by text,
    pseudonym text NOT NULL,
    salt_id uuid NOT NULL,
    id_hash text,
    other_hashes text[],
    erased_rows jsonb,
    replays uuid,
    system_identifier bigint,
    database oid,
    CONSTRAINT erasure_requests_pkey PRIMARY KEY (id),
    CONSTRAINT erasure_requests_state_check CHECK (
        (executed_at IS NULL) OPERATOR(pg_catalog.=) (user_id IS NOT NULL)
        AND (executed_at IS NULL) OPERATOR(pg_catalog.=) (id_hash IS NULL)),
    CONSTRAINT erasure_requests_reason_check CHECK (reason OPERATOR(pg_catalog.<>) '')
) USING heap;
CREATE UNIQUE INDEX erasure_requests_open_idx ON crewsnow_ops.erasure_requests (user_id);
CREATE INDEX erasure_requests_id_hash_idx ON crewsnow_ops.erasure_requests (id_hash);
COMMENT ON TABLE crewsnow_ops.erasure_requests IS
    'Requests of erasure, and after their execution the ledger: a salted hash in place of the '
    'person. An executed row never changes, for the owner too. An open one may be deleted.';
COMMENT ON COLUMN crewsnow_ops.erasure_requests.id IS 'The request.';
COMMENT ON COLUMN crewsnow_ops.erasure_requests.user_id IS
    'Id of the person; NULL once executed.';
COMMENT ON COLUMN crewsnow_ops.erasure_requests.reason IS
    'Reason, such as the number of a ticket.';
COMMENT ON COLUMN crewsnow_ops.erasure_requests.requested_at IS
    'Time of the request (clock time).';
COMMENT ON COLUMN crewsnow_ops.erasure_requests.requested_by IS 'Login role (session_user).';
COMMENT ON COLUMN crewsnow_ops.erasure_requests.due_at IS '30 days after the request.';
COMMENT ON COLUMN crewsnow_ops.erasure_requests.executed_at IS
    'Time of the erasure (clock time); NULL while open.';
COMMENT ON COLUMN crewsnow_ops.erasure_requests.executed_by IS
    'Login role (session_user) that executed it; NULL while open.';
COMMENT ON COLUMN crewsnow_ops.erasure_requests.pseudonym IS
    'Text that stands in trails in place of the person.';
COMMENT ON COLUMN crewsnow_ops.erasure_requests.salt_id IS 'Salt of the hashes.';
COMMENT ON COLUMN crewsnow_ops.erasure_requests.id_hash IS
    'SHA-256 of salt and id, in hexadecimal digits; NULL while open.';
COMMENT ON COLUMN crewsnow_ops.erasure_requests.other_hashes IS
    'The same of e-mail address and phone number, in lower case; NULL while open.';
COMMENT ON COLUMN crewsnow_ops.erasure_requests.erased_rows IS
    'Object from table to the number of its erased rows; NULL while open.';
COMMENT ON COLUMN crewsnow_ops.erasure_requests.replays IS
    'The erasure that this one repeated after a restore; NULL otherwise.';
COMMENT ON COLUMN crewsnow_ops.erasure_requests.system_identifier IS
    'Cluster that executed it; NULL while open.';
COMMENT ON COLUMN crewsnow_ops.erasure_requests.database IS
    'Database that executed it; NULL while open.';
COMMENT ON CONSTRAINT erasure_requests_pkey ON crewsnow_ops.erasure_requests IS
    'One row per request.';
COMMENT ON CONSTRAINT erasure_requests_state_check ON crewsnow_ops.erasure_requests IS
    'A request has the id while it is open, and the hash afterwards.';
COMMENT ON CONSTRAINT erasure_requests_reason_check ON crewsnow_ops.erasure_requests IS
    'A request has a reason.';
COMMENT ON INDEX crewsnow_ops.erasure_requests_open_idx IS
    'A person has at most one open request.';
COMMENT ON INDEX crewsnow_ops.erasure_requests_id_hash_idx IS 'Finds erased accounts.';

CREATE TABLE crewsnow_ops.erasure_replays (
    replayed_at timestamptz NOT NULL,
    replayed_by text NOT NULL,
    system_identifier bigint NOT NULL,
    database oid NOT NULL,
    erasures bigint NOT NULL,
    erased_again bigint NOT NULL
) USING heap;
ALTER TABLE crewsnow_ops.erasure_replays REPLICA IDENTITY FULL;
COMMENT ON TABLE crewsnow_ops.erasure_replays IS
    'Calls of replay_erasures. Append-only, for the owner too.';
COMMENT ON COLUMN crewsnow_ops.erasure_replays.replayed_at IS 'Clock time of the call.';
COMMENT ON COLUMN crewsnow_ops.erasure_replays.replayed_by IS 'Login role (session_user).';
COMMENT ON COLUMN crewsnow_ops.erasure_replays.system_identifier IS 'Cluster of the call.';
COMMENT ON COLUMN crewsnow_ops.erasure_replays.database IS 'Database of the call.';
COMMENT ON COLUMN crewsnow_ops.erasure_replays.erasures IS 'Number of erasures in the ledger.';
COMMENT ON COLUMN crewsnow_ops.erasure_replays.erased_again IS
    'Number of accounts that were found and erased again.';

CREATE TABLE crewsnow_ops.trail_erasures (
    request uuid NOT NULL,
    target text NOT NULL,
    changed_rows bigint NOT NULL,
    erased_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    session_user_name text NOT NULL DEFAULT SESSION_USER,
    current_user_name text NOT NULL
) USING heap;
CREATE INDEX trail_erasures_request_idx ON crewsnow_ops.trail_erasures (request);
ALTER TABLE crewsnow_ops.trail_erasures REPLICA IDENTITY FULL;
COMMENT ON TABLE crewsnow_ops.trail_erasures IS
    'Changes of the extension''s own trails by an erasure, one row per table. Append-only, for the '
    'owner too.';
COMMENT ON COLUMN crewsnow_ops.trail_erasures.request IS 'The request of erasure.';
COMMENT ON COLUMN crewsnow_ops.trail_erasures.target IS 'Changed table.';
COMMENT ON COLUMN crewsnow_ops.trail_erasures.changed_rows IS
    'Number of rows in which the pseudonym took the place of the person.';
COMMENT ON COLUMN crewsnow_ops.trail_erasures.erased_at IS 'Clock time of the change.';
COMMENT ON COLUMN crewsnow_ops.trail_erasures.session_user_name IS
    'Role that logged in (session_user).';
COMMENT ON COLUMN crewsnow_ops.trail_erasures.current_user_name IS
    'Role that executed the erasure (current_user).';
COMMENT ON INDEX crewsnow_ops.trail_erasures_request_idx IS 'Finds the changes of a request.';

CREATE FUNCTION crewsnow_ops.erasure_records_are_final() RETURNS trigger LANGUAGE c
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'erasure_records_are_final_wrapper';
COMMENT ON FUNCTION crewsnow_ops.erasure_records_are_final() IS
    'Trigger: keeps the ledger and its trails append-only. Error: 42501.';
CREATE FUNCTION crewsnow_ops.erasure_rule_is_valid() RETURNS trigger LANGUAGE c
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'erasure_rule_is_valid_wrapper';
COMMENT ON FUNCTION crewsnow_ops.erasure_rule_is_valid() IS
    'Trigger: checks table, columns and replacements of a rule. Errors: 22023, 42703, 42804, '
    '42809, 42P01, with the correct statement as HINT.';
REVOKE ALL ON FUNCTION crewsnow_ops.erasure_records_are_final(),
    crewsnow_ops.erasure_rule_is_valid() FROM PUBLIC;
CREATE TRIGGER erasure_rule_is_valid BEFORE INSERT OR UPDATE ON crewsnow_ops.erasure_rules
    FOR EACH ROW EXECUTE FUNCTION crewsnow_ops.erasure_rule_is_valid();
COMMENT ON TRIGGER erasure_rule_is_valid ON crewsnow_ops.erasure_rules IS
    'Checks a rule; see the function.';
CREATE TRIGGER erasure_requests_are_final BEFORE UPDATE OR DELETE ON crewsnow_ops.erasure_requests
    FOR EACH ROW WHEN (OLD.executed_at IS NOT NULL)
    EXECUTE FUNCTION crewsnow_ops.erasure_records_are_final();
COMMENT ON TRIGGER erasure_requests_are_final ON crewsnow_ops.erasure_requests IS
    'Keeps the ledger append-only, for the owner too.';
CREATE TRIGGER erasure_requests_stay BEFORE TRUNCATE ON crewsnow_ops.erasure_requests
    FOR EACH STATEMENT EXECUTE FUNCTION crewsnow_ops.erasure_records_are_final();
COMMENT ON TRIGGER erasure_requests_stay ON crewsnow_ops.erasure_requests IS
    'Keeps the ledger append-only, for the owner too.';
CREATE TRIGGER erasure_replays_are_final BEFORE UPDATE OR DELETE OR TRUNCATE
    ON crewsnow_ops.erasure_replays
    FOR EACH STATEMENT EXECUTE FUNCTION crewsnow_ops.erasure_records_are_final();
COMMENT ON TRIGGER erasure_replays_are_final ON crewsnow_ops.erasure_replays IS
    'Append-only, for the owner too.';
CREATE TRIGGER trail_erasures_are_final BEFORE UPDATE OR DELETE OR TRUNCATE
    ON crewsnow_ops.trail_erasures
    FOR EACH STATEMENT EXECUTE FUNCTION crewsnow_ops.erasure_records_are_final();
COMMENT ON TRIGGER trail_erasures_are_final ON crewsnow_ops.trail_erasures IS
    'Append-only, for the owner too.';
ALTER TABLE crewsnow_ops.erasure_rules ENABLE ALWAYS TRIGGER erasure_rule_is_valid;
ALTER TABLE crewsnow_ops.erasure_requests ENABLE ALWAYS TRIGGER erasure_requests_are_final,
    ENABLE ALWAYS TRIGGER erasure_requests_stay;
ALTER TABLE crewsnow_ops.erasure_replays ENABLE ALWAYS TRIGGER erasure_replays_are_final;
ALTER TABLE crewsnow_ops.trail_erasures ENABLE ALWAYS TRIGGER trail_erasures_are_final;

SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.erasure_rules', '');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.legal_holds', '');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.erasure_salts', '');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.erasure_requests', '');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.erasure_replays', '');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.trail_erasures', '');
