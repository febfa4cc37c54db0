-- Invented but plausible data: 5,000 users, 60 stations, 12,000 matches, 200,000 messages of the
-- last 90 days, and the last hour of operations with an incident. Load it as superuser into empty
-- tables, after schema.sql and before or after sync.sql.
--
-- All values are derived from hashes of row numbers. Two loads differ only in times and in counts
-- by calendar day. All times count back from now() of this one transaction.
BEGIN;
SET LOCAL client_encoding = 'UTF8';
SET LOCAL TimeZone = 'UTC';
SET LOCAL work_mem = '64MB';
SET LOCAL jit = off;  -- JIT compilation would take longer than it saves
\ir data/generator.sql
\ir data/people.sql
\ir data/activity.sql
\ir data/chats.sql
\ir data/operations.sql
REFRESH MATERIALIZED VIEW public.kpi_daily;
COMMIT;

ANALYZE;
