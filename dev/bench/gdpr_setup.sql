-- The tables of bench_gdpr.sh. :rows rows have expired, as many have not.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS crewsnow_ops;
DROP TABLE IF EXISTS visit;
CREATE TABLE visit (
    id bigint PRIMARY KEY, at timestamptz NOT NULL, user_id uuid NOT NULL, ip inet, agent text);
INSERT INTO visit
SELECT n, now() - interval '1 year' + n * interval '1 year' / (2 * :rows), gen_random_uuid(),
    '10.0.0.1'::inet + n % 1000, repeat('a', 60)
FROM generate_series(1, 2 * :rows) AS n;
CREATE INDEX visit_at ON visit (at);
CREATE INDEX visit_user ON visit (user_id);
VACUUM ANALYZE visit;
DELETE FROM crewsnow_ops.retention_policies;
INSERT INTO crewsnow_ops.retention_policies
    (name, target, time_column, keep, action, legal_basis)
VALUES ('visit', 'public.visit', 'at', '184 days', 'delete', 'benchmark');
CHECKPOINT;
