-- Drops all but :days days. Prints begin, end, dropped days and calls.
\set retention :days 'd'
SET crewsnow_ops.event_retention = :'retention';
SELECT extract(epoch FROM clock_timestamp()) AS began \gset
SELECT partitions_dropped AS dropped FROM crewsnow_ops.apply_event_retention() \gset
SELECT :began, extract(epoch FROM clock_timestamp()), :dropped, 1;
