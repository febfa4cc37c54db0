-- Drops all but :days days. Prints begin, end, dropped days and calls.
UPDATE partman.part_config SET retention = :days || ' days';
SELECT count(*) AS before FROM pg_inherits WHERE inhparent = 'bench.log'::regclass \gset
SELECT extract(epoch FROM clock_timestamp()) AS began \gset
SELECT FROM partman.run_maintenance('bench.log', p_analyze => false) \g /dev/null
SELECT :began, extract(epoch FROM clock_timestamp()), :before - count(*), 1
FROM pg_inherits WHERE inhparent = 'bench.log'::regclass;
