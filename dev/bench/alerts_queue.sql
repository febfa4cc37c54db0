-- The table that both systems watch.
CREATE TABLE queue (kind text, subject text, depth double precision);
INSERT INTO crewsnow_ops.alert_rules (name, description, query, critical, every, no_data)
SELECT 'queue-' || kind, 'a queue is long',
    format('SELECT q.subject, q.depth, ''jobs wait'' FROM public.queue AS q
        WHERE q.kind = %L', kind),
    5, '5 seconds', 'ok'
FROM (VALUES ('trial'), ('storm')) AS k (kind);
